"""The soak: ten simulated masters, the bridge and four real collectors under random faults (tests/soak.sh runs it).

    machine.py     what the machine allows: namespaces, tmpfs, a false clock
    collectors.py  rsyslog and syslog-ng that can be killed and started again, and what they stored
    world.py       everything that runs, what must arrive, what has arrived
    faults.py      the table of faults
    __main__.py    the run and its table
"""
