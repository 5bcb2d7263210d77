BEGIN TRANSACTION;
CREATE TABLE head (
	schema INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	PRIMARY KEY (schema)
);
INSERT INTO "head" VALUES(1,4,'sha256:0f5d51524a2c4276bbbf785a8a33408857a1e65ca5c3ecb27f4f5c06c2fa7566');
CREATE TABLE runs (
	timestamp VARCHAR NOT NULL, 
	audit_seq INTEGER NOT NULL, 
	approved INTEGER NOT NULL, 
	review INTEGER NOT NULL, 
	dropped INTEGER NOT NULL, 
	PRIMARY KEY (timestamp), 
	UNIQUE (audit_seq)
);
INSERT INTO "runs" VALUES('20261121_093100',1,1,0,0);
INSERT INTO "runs" VALUES('20261121_093200',2,0,1,0);
INSERT INTO "runs" VALUES('20261121_093300',3,1,0,0);
INSERT INTO "runs" VALUES('20261121_093400',4,1,0,0);
CREATE TABLE verdicts (
	id VARCHAR NOT NULL, 
	run VARCHAR NOT NULL, 
	version_id VARCHAR NOT NULL, 
	symbol VARCHAR NOT NULL, 
	timeframe VARCHAR NOT NULL, 
	class VARCHAR NOT NULL, 
	policy_sha256 VARCHAR NOT NULL, 
	data_digest VARCHAR, 
	PRIMARY KEY (id)
);
INSERT INTO "verdicts" VALUES('AAPL_1Day/20261121_093100','20261121_093100','spec-default-20261121-ba4d195e','AAPL','1Day','APPROVED','sha256:7ee69a0444fffc8997750facfa50be4cc65e0dadfc327d1920c6cf8f75fdc647','sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd');
INSERT INTO "verdicts" VALUES('AAPL_1Day/20261121_093200','20261121_093200','spec-default-20261121-be4473ab','AAPL','1Day','REVIEW','sha256:f0f61ec57e7456bd53a9a2db564234829c442ba71a836ff7c42606d27dc116f6','sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd');
INSERT INTO "verdicts" VALUES('BTC%2FUSD_1Day/20261121_093300','20261121_093300','spec-default-20261121-05f8fd57','BTC/USD','1Day','APPROVED','sha256:7f70e8f1acbf228fa2648f7ffec1c1fe60f577003e243975bdd527cf6af00d4c','sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd');
INSERT INTO "verdicts" VALUES('AAPL_1Day/20261121_093400','20261121_093400','spec-default-20261121-dc306507','AAPL','1Day','APPROVED','sha256:ec13b16597e0b4112bddd3ff56d49f0516eba19d62d5979c64a3250e5b00a449','sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd');
CREATE INDEX ix_verdicts_run ON verdicts (run);
CREATE INDEX verdicts_by_data ON verdicts (symbol, timeframe, data_digest);
CREATE INDEX verdicts_by_class ON verdicts (symbol, timeframe, class);
COMMIT;
