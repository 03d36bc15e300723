"""The soak: ten simulated masters, the bridge and six real collectors under random faults (tests/soak.sh runs it).

    machine.py     what the machine allows: namespaces, tmpfs, a false clock
    collectors.py  rsyslog and syslog-ng that can be killed and started again, and what they stored
    world.py       everything that runs, what must arrive, what has arrived
    sends.py       how often a breach may come: once, and again only where it was in flight
    recovery.py    how long each subject takes from the end of its fault to the next new arrival
    faults.py      the table of faults
    __main__.py    the run and its table
"""
