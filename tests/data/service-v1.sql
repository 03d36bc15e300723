BEGIN TRANSACTION;
CREATE TABLE destination(
    name      TEXT PRIMARY KEY,
    first_ran INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "destination" VALUES('qradar',5000);
COMMIT;
PRAGMA application_id=1685348979; PRAGMA user_version=1;
