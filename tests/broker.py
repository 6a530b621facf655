"""A real Kafka broker on this machine, for the tests, the benchmarks and `make broker`.

It needs Java 17 or newer and Maven, which fetches the jars named in broker.pom.xml into .kafka/ once. Its
data are in a temporary folder and gone when it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

ROOT = Path(__file__).resolve().parent.parent
POM = Path(__file__).with_name("broker.pom.xml")
CACHE = ROOT / ".kafka"
HOST = "127.0.0.1"
HEAP = "512m"
READY_SECONDS_MAX = 600
STOP_SECONDS_MAX = 60
USER = "headrace"
PR_SET_PDEATHSIG = 1

PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAIN://{host}:{plain},SECURE://{host}:{secure},MUTUAL://{host}:{mutual},CONTROLLER://{host}:{controller}
advertised.listeners=PLAIN://{host}:{plain},SECURE://{host}:{secure},MUTUAL://{host}:{mutual}
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={host}:{controller}
inter.broker.listener.name=PLAIN
log.dirs={folder}/data
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=1000
controlled.shutdown.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/broker.p12
ssl.keystore.password={store_password}
ssl.key.password={store_password}
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.truststore.type=PKCS12
listener.name.mutual.ssl.truststore.location={folder}/clients.p12
listener.name.mutual.ssl.truststore.password={store_password}
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.secure.scram-sha-512.sasl.jaas.config=\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_{user}="{password}";
"""

LOG4J = """
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""


class Unavailable(Exception):
    """Why there can be no broker here."""


def missing() -> str | None:
    """What this machine lacks for a broker, for a person; None if nothing."""
    lacking = [name for name, program in (("Java", "java"), ("Maven", "mvn")) if not shutil.which(program)]
    if lacking == ["Maven"] and _fetched().exists():
        return None
    return f"needs {' and '.join(lacking)} for a Kafka broker" if lacking else None


def _fetched() -> Path:
    """Where the jars lie when they are complete."""
    return CACHE / f"libs-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"


def jars() -> Path:
    """The folder of the broker's jars, fetched if they aren't there.

    Raises
    ------
    Unavailable
        If Maven can't fetch them.
    """
    folder = _fetched()
    if folder.exists():
        return folder
    CACHE.mkdir(exist_ok=True)
    partial = Path(mkdtemp(prefix="fetching-", dir=CACHE))
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    done = subprocess.run(
        ["mvn", "--quiet", "--batch-mode", "--file", str(POM), *goal],
        capture_output=True,
        text=True,
        check=False,
        cwd=CACHE,
    )
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        raise Unavailable(f"Maven can't fetch the broker's jars:\n{done.stdout}{done.stderr}")
    with contextlib.suppress(OSError):  # another process was quicker
        partial.rename(folder)
    shutil.rmtree(partial, ignore_errors=True)
    return folder


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in taken]


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


class Certificate(NamedTuple):
    """A client's certificate and its key, PEM, and the password of the key."""

    file: Path
    key_file: Path
    password: str


class Broker:
    """One Kafka broker that is its own controller.

    Parameters
    ----------
    port
        Of the listener without encryption; 0 for a free one.
    cpu
        The core that it is held to; None for any.
    brief
        Compile less: it starts with less work, and isn't as quick later.

    Attributes
    ----------
    brokers : str
        Address of the listener without encryption.
    secure_brokers : str
        Address of the one with TLS and a password (SCRAM-SHA-512 or PLAIN).
    mutual_brokers : str
        Address of the one with TLS that asks for a client's certificate.
    user, password : str
        Who may enter at the second.
    client : Certificate | None
        Who may enter at the third; None where there is no OpenSSL to make one.
    ca_file : Path
        The certificate to trust at both, PEM.
    log : Path
        What the broker says.
    """

    def __init__(self, *, port: int = 0, cpu: int | None = None, brief: bool = False) -> None:
        if port and _in_use(port):
            raise Unavailable(f"port {port} of {HOST} is in use")
        self._jars, self._cpu, self._brief = jars(), cpu, brief
        self._folder = Path(mkdtemp(prefix="headrace-broker-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.user, self.password = USER, secrets.token_hex(12)
        self.ca_file, self.log = self._folder / "ca.pem", self._folder / "broker.log"
        plain, secure, mutual, controller = free_ports(4)
        plain = port or plain
        self.brokers, self.secure_brokers = f"{HOST}:{plain}", f"{HOST}:{secure}"
        self.mutual_brokers = f"{HOST}:{mutual}"
        self.client: Certificate | None = None
        try:
            self._prepare(plain, secure, mutual, controller)
        except BaseException:
            self.close()
            raise

    def _prepare(self, plain: int, secure: int, mutual: int, controller: int) -> None:
        store_password = secrets.token_hex(12)
        self._certify(store_password)
        properties = PROPERTIES.format(
            host=HOST,
            plain=plain,
            secure=secure,
            mutual=mutual,
            controller=controller,
            folder=self._folder,
            store_password=store_password,
            user=self.user,
            password=self.password,
        )
        self._properties = self._folder / "server.properties"
        self._properties.write_text(properties)
        (self._folder / "log4j2.properties").write_text(LOG4J)
        scram = f"SCRAM-SHA-512=[name={self.user},password={self.password}]"
        self._run(
            *self._java("kafka.tools.StorageTool", "format", "--config", str(self._properties)),
            *("--cluster-id", "headrace-on-loopback-", "--standalone", "--add-scram", scram),
        )

    def _certify(self, password: str) -> None:
        """A certificate that signs itself, in the store of Java and as PEM."""
        store = (
            "-keystore",
            str(self._folder / "broker.p12"),
            "-storetype",
            "PKCS12",
            "-storepass",
            password,
        )
        self._run(
            *("keytool", "-genkeypair", "-alias", "broker", "-keyalg", "EC", "-groupname", "secp256r1"),
            *("-dname", "CN=localhost", "-ext", f"SAN=dns:localhost,ip:{HOST}", "-validity", "2", *store),
        )
        self._run("keytool", "-exportcert", "-rfc", "-alias", "broker", "-file", str(self.ca_file), *store)
        if shutil.which("openssl"):
            self.client = self.certificate("client")
        trusted = self.client.file if self.client else self.ca_file
        self._run(
            *("keytool", "-importcert", "-noprompt", "-alias", "client", "-file", str(trusted)),
            *("-keystore", str(self._folder / "clients.p12"), "-storetype", "PKCS12", "-storepass", password),
        )

    def certificate(self, name: str) -> Certificate:
        """Make a certificate that signs itself; its name is not that of another."""
        made = Certificate(
            self._folder / f"{name}.pem", self._folder / f"{name}.key", f"key-{secrets.token_hex(12)}"
        )
        self._run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", str(made.key_file), "-out", str(made.file), "-passout", f"pass:{made.password}"),
        )
        return made

    def _java(self, main: str, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}"
        quick = ["-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto"]
        if self._brief:
            quick.append("-XX:TieredStopAtLevel=1")
        classes = ("-cp", f"{self._jars}/*", main)
        return ["java", f"-Xmx{HEAP}", *quick, logging, *classes, *arguments]

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._folder)
        if done.returncode:
            raise Unavailable(f"{command[0]} failed: {done.stdout}{done.stderr}")

    def create_topic(self, name: str, partitions: int = 1, **config: str) -> str:
        """Create a topic, its settings with underscores for dots, and give its name."""
        admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        settings = {key.replace("_", "."): value for key, value in config.items()}
        admin.create_topics([NewTopic(name, partitions, 1, config=settings)])[name].result(READY_SECONDS_MAX)
        # The controller has it; the broker learns of it a moment later.
        while name not in admin.list_topics(timeout=READY_SECONDS_MAX).topics:
            time.sleep(0.01)
        return name

    def start(self) -> None:
        """Start it, also again after `stop`, and wait until it answers.

        Raises
        ------
        Unavailable
            If it ends instead, or doesn't answer in time.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._properties)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                preexec_fn=_bound(self._cpu),  # noqa: PLW1509  # three system calls, no lock
            )
        self._await()

    def _await(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        until = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                raise Unavailable(f"the broker ended: {self.log.read_text()[-4000:]}")
            with contextlib.suppress(KafkaException):
                admin.list_topics(timeout=5.0)
                return
        self.stop()
        raise Unavailable(f"the broker doesn't answer: {self.log.read_text()[-4000:]}")

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *, kill: bool = False) -> None:
        """End its process and keep its data; `kill` gives it no time to close them."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Let it hang for a while: connections stay, answers don't come."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until it ends by itself."""
        assert self._process is not None
        return self._process.wait()

    def close(self) -> None:
        """End it and remove its data."""
        self.stop(kill=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bound(cpu: int | None) -> Callable[[], None]:
    """What the broker's process does first: hold to a core, and end when the thread that started it does."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def bind() -> None:
        # The keyboard's interrupt goes to the whole group; the broker is stopped by us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if cpu is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {cpu})
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return bind


def main() -> int:
    """Run a broker until ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--cpu", type=int, help="the core that it is held to")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lacking = missing()
    if lacking:
        return _fail(lacking)
    try:
        return _run(options.port, options.cpu)
    except Unavailable as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 0


def _run(port: int, cpu: int | None) -> int:
    print("Starting a Kafka broker ...", flush=True)
    with Broker(port=port, cpu=cpu) as broker:
        print(f"Kafka answers on {broker.brokers}; ctrl-C ends it, and its data are gone then.", flush=True)
        return broker.wait()


def _fail(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
