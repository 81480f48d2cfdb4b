"""The private cluster: password needed, no superuser, another port if the usual one is taken."""

import shutil
import socket
import subprocess
import tempfile

import pytest

from tools import debian, postgres
from tools.steps import StepFailed

pytestmark = pytest.mark.skipif(
    not debian.installed("postgresql-15"), reason="Debian's postgresql-15 is not installed"
)


@pytest.fixture(scope="module")
def cluster():
    home = tempfile.mkdtemp(prefix="cluster-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SETUP_HOME", home)
        cluster = postgres.Cluster("unit", postgres.new_password(), durable=False)
        cluster.port = cluster.start()
        yield cluster
        cluster.destroy()
        assert not cluster.home.exists()
    shutil.rmtree(home)


def test_the_role_may_make_databases_but_is_no_superuser(cluster):
    rights = cluster.query(
        "select rolcreatedb, rolsuper from pg_roles where rolname = 'odoo'", cluster.port
    )
    assert rights == "t|f"


def test_a_wrong_password_is_refused(cluster):
    intruder = postgres.Cluster("unit", "guess", durable=False)
    with pytest.raises(StepFailed, match="password authentication failed"):
        intruder.query("select 1", cluster.port)


def test_it_listens_on_loopback_only(cluster):
    assert cluster.query("show listen_addresses", cluster.port) == "127.0.0.1"


def test_starting_again_keeps_the_running_server(cluster):
    assert cluster.start() == cluster.port


def test_a_taken_port_is_avoided(cluster):
    cluster.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", cluster.port))
        taken.listen()
        other = cluster.start(cluster.port)
    assert other != cluster.port
    cluster.port = other
    assert cluster.query("select 1", other) == "1"


def test_durability_is_only_given_up_for_tests(cluster):
    assert cluster.query("show fsync", cluster.port) == "off"
    cluster.stop()
    cluster.durable = True
    cluster.port = cluster.start()
    assert cluster.query("show fsync", cluster.port) == "on"


def test_the_password_stands_in_no_file_and_no_command_line(cluster):
    found = subprocess.run(
        ["grep", "-rl", cluster.password, str(cluster.home)], capture_output=True, text=True
    )
    assert found.stdout == ""
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert cluster.password not in processes
