# SPDX-License-Identifier: MIT
"""A Lamina service of a test's own: a new data directory, a free port, and nothing left behind.

    with Service(build) as service:
        service.client("lambda").list_functions()
        service.lamina("list")

Everything waits for an event (a file, a process's end, an answer) with a deadline that only a hang reaches.
"""

import glob
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

DEADLINE_S = 120  # of anything that should take a moment
LOG_TAIL = 6000

# What a developer's or a CI machine's environment may hold and a test must not see.
FOREIGN = ("AWS_", "LAMINA_", "BOTO", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",
           "all_proxy", "PYTHON", "MODEL_")


def clean_environment(home):
    """The caller's environment without what could change an answer; $HOME is `home` (no ~/.aws)."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    env.update(HOME=str(home), LC_ALL="C.UTF-8", TZ="UTC", NO_PROXY="*", AWS_EC2_METADATA_DISABLED="true",
               AWS_PAGER="", PATH="/usr/bin:/bin:/usr/sbin:/sbin:" + os.environ.get("PATH", ""))
    return env


def wait_for(condition, what, deadline_s=DEADLINE_S):
    """Calls condition() until it gives something true; that is returned."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s for {what}")
        time.sleep(0.01)


def command_lines():
    """[(pid, [argument, ...])] of every process."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                raw = pathlib.Path("/proc", entry, "cmdline").read_bytes()
            except OSError:
                continue
            if raw:
                found.append((int(entry), raw.decode(errors="replace").rstrip("\0").split("\0")))
    return found


def is_alive(pid):
    """False for a process that is gone or only waits to be reaped."""
    try:
        stat = pathlib.Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


class Service:
    """One running service. `flags` go to laminad behind --data-dir and --listen."""

    def __init__(self, build, *flags, env=None, data_dir=None, listen="127.0.0.1:0"):
        self.build = pathlib.Path(build)
        self.flags = flags
        self.listen = listen
        self.more_env = dict(env or {})
        # Directly beneath the temporary directory, and open to all: laminad runs as another user, and
        # pytest's own directories are closed to it.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="lamina-test-"))
        self.root.chmod(0o755)
        self.data_dir = pathlib.Path(data_dir) if data_dir else self.root / "data"
        self.home = self.root / "home"
        self.home.mkdir()
        self.log_path = self.root / "log"
        self.process = None
        self.endpoint = None
        self.prefix = ()  # words of a command that executes laminad in the end

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close(check=False)
            raise

    def __exit__(self, kind, value, trace):
        self.close(check=kind is None)

    # ---- Life

    def start(self, wait=True):
        """Starts the service; waits until it is ready."""
        assert self.process is None, "it is running already"
        self._endpoint_file().unlink(missing_ok=True)
        env = clean_environment(self.home)
        env.update(LAMINA_FILESYSTEMS_FILE=str(self.root / "etc/filesystems.conf"))  # not the machine's
        env.update(self.more_env)
        command = [*self.prefix, self.build / "laminad", "--data-dir", self.data_dir, "--listen", self.listen, *self.flags]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(part) for part in command], env=env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd="/", start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        """Waits until /readyz answers 200; learns the endpoint."""
        wait_for(self._is_ready, "the service to be ready")
        return self

    def _endpoint_file(self):
        return self.data_dir / "endpoint"

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"laminad ended with {self.process.returncode} before it was ready:\n{self.log_tail()}")
        try:
            text = self._endpoint_file().read_text().strip()
        except OSError:
            return False
        if not text:
            return False
        self.endpoint = text if "://" in text else "http://" + text
        try:
            with open_url(self.endpoint + "/readyz") as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, number=signal.SIGTERM):
        """Ends the service and waits for it. Returns its exit status."""
        process, self.process = self.process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(DEADLINE_S)
            raise AssertionError(f"the service did not end {DEADLINE_S} s after signal {number}:\n{self.log_tail()}") from None

    def close(self, check=True):
        """Ends it, checks that nothing of its data directory is left, and removes its files."""
        try:
            key = self._key()
            problem = None
            try:
                self.stop()
                if check:
                    wait_for(lambda: not self.processes(), "the service's processes to end")
                    wait_for(lambda: not cgroups(key), "the service's cgroups to go")
            except AssertionError as error:
                problem = f"{error}\nprocesses: {self.processes()}\ncgroups: {cgroups(key)}"
            for pid, _ in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if problem and check:
                raise AssertionError(f"{problem}\n{self.log_tail()}")
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    def _key(self):
        """What lamina-spawn calls the service in the cgroup file systems: see docs/wire-spawn.md."""
        try:
            st = os.stat(self.data_dir)
        except OSError:
            return None
        return f"lamina-{st.st_dev:x}-{st.st_ino:x}"

    def processes(self):
        """[(pid, arguments)] of everything that was started with this data directory."""
        name = str(self.data_dir)
        return [(pid, words) for pid, words in command_lines() if name in words and is_alive(pid)]

    def pid(self, program):
        """The pid of this service's laminad, lamina-spawn, ...; fails unless there is exactly one."""
        found = self.pids(program)
        assert len(found) == 1, f"{program}: {found} of {self.processes()}"
        return found[0]

    @property
    def spawn_pid(self):
        """lamina-spawn itself: laminad, started as root, becomes it. (Its children carry its name, too.)"""
        return self.process.pid

    def pids(self, program):
        """The pids of this service's processes of that name."""
        return [pid for pid, words in self.processes() if os.path.basename(words[0]) == program]

    # ---- What it said

    def log(self):
        """Everything that the service wrote to its standard error."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self):
        return "---- log of the service ----\n" + self.log()[-LOG_TAIL:]

    # ---- Clients

    @property
    def credentials(self):
        """{"aws_access_key_id": ..., "aws_secret_access_key": ...} of the data directory."""
        lines = (self.data_dir / "credentials").read_text().splitlines()
        return {k.strip(): v.strip() for k, _, v in (line.partition("=") for line in lines) if v}

    @property
    def env(self):
        """An environment in which AWS's clients and `lamina` reach this service."""
        keys = self.credentials
        env = clean_environment(self.home)
        env.update(AWS_ACCESS_KEY_ID=keys["aws_access_key_id"], AWS_SECRET_ACCESS_KEY=keys["aws_secret_access_key"],
                   AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL=self.endpoint,
                   LAMINA_DATA_DIR=str(self.data_dir), LAMINA_FILESYSTEMS_FILE=str(self.root / "etc/filesystems.conf"))
        return env

    def client(self, name="lambda", **settings):
        """A boto3 client: no retries, patient, so that what a test sees is the first answer."""
        import boto3
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=DEADLINE_S,
                        read_timeout=2 * DEADLINE_S, max_pool_connections=64, proxies={})
        options = dict(endpoint_url=self.endpoint, region_name="us-east-1", config=config, **self.credentials)
        options.update(settings)
        return boto3.session.Session().client(name, **options)

    def lamina(self, *arguments, check=True, **options):
        """Runs `lamina ...` against this service. The result has returncode, stdout and stderr (text)."""
        return self._run([self.build / "lamina", *arguments], check, options)

    def aws(self, *arguments, check=True, **options):
        """Runs Debian's AWS CLI against this service (it does not know AWS_ENDPOINT_URL)."""
        return self._run(["/usr/bin/aws", "--endpoint-url", self.endpoint, "--cli-connect-timeout", str(DEADLINE_S),
                          "--cli-read-timeout", str(2 * DEADLINE_S), *arguments], check, options)

    def _run(self, command, check, options):
        env = self.env
        env.update(options.pop("env", {}))
        settings = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                        timeout=2 * DEADLINE_S, cwd=str(self.root))
        settings.update(options)
        if "input" in settings:
            del settings["stdin"]
        done = subprocess.run([str(part) for part in command], env=env, **settings)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n"
                                 f"{self.log_tail()}")
        return done


def cgroups(key):
    """The cgroup directories of a service, in every hierarchy."""
    if not key:
        return []
    return glob.glob(f"/sys/fs/cgroup/{key}*") + glob.glob(f"/sys/fs/cgroup/**/{key}*", recursive=True)


def open_url(url, deadline_s=DEADLINE_S, context=None):
    """GET past any proxy that the environment may name; over TLS any certificate will do, unless `context` asks."""
    context = context or ssl._create_unverified_context()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    return opener.open(url, timeout=deadline_s)
