"""The parts that flows are wired from: pure logic, and the few modules at its edge."""
