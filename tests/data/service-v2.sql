BEGIN TRANSACTION;
CREATE TABLE destination(
    name      TEXT PRIMARY KEY,
    first_ran INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "destination" VALUES('qradar',5000);
CREATE TABLE policy_hour(
    line  INTEGER NOT NULL,
    hour  INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY(line, hour)) WITHOUT ROWID;
INSERT INTO "policy_hour" VALUES(1,10,4);
INSERT INTO "policy_hour" VALUES(1,11,1);
CREATE TABLE policy_line(
    id          INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    line        TEXT NOT NULL,
    since       INTEGER NOT NULL,
    last_spoke  INTEGER NOT NULL,
    UNIQUE(destination, line));
INSERT INTO "policy_line" VALUES(1,'qradar','r.toml
score',5,90);
COMMIT;
PRAGMA application_id=1685348979; PRAGMA user_version=2;
