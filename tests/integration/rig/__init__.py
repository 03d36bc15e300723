"""The black-box rig: the simulated master, the bridge, real and simple collectors, and what they stored.

Only Python's standard library (3.11), openssl, rsyslogd and syslog-ng. Nothing is left running or lying about: every
process is in a group of its own, dies with the test's process, and works in a temporary folder that is kept only when
a test failed and DTBRIDGE_KEEP is set.
"""
from .basics import BUILD, SHARED, SOURCE, Folder, free_port, wait_until  # noqa: F401
from .bridge import Bridge, bridge_binary, run_cli  # noqa: F401
from .case import RigTest  # noqa: F401
from .cluster import Cluster  # noqa: F401
from .collectors import Collector  # noqa: F401
from .kafka import Gate, Kafka  # noqa: F401
from .network import Network  # noqa: F401
from .pki import Pki  # noqa: F401
from .process import Process  # noqa: F401
from .simulator import Simulator  # noqa: F401
from .syslogd import Rsyslog, SyslogNg  # noqa: F401
