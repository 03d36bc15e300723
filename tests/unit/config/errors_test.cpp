/// Files that are refused: each row gives exactly one error, with the line, the key, what was found and what
/// would be right.

#include <boost/test/data/test_case.hpp>

#include "unit/config/case.hpp"
#include "unit/config/certificate.hpp"

using namespace config_test;
using P = config_test::place;

namespace
{

const wrong rows[] = {
    // Syntax and sections.
    {P::whole, "[service]\nlisten = \n", 2, "", "not TOML", "not checked"},
    {P::whole, "[service]\nlog_level = \"info\"\nlog_level = \"debug\"\n", 3, "", "not TOML", "log_level"},
    {P::at_end, "[servcie]\n", 9, "servcie", "unknown key", "did you mean \"service\""},
    {P::at_end, "[zebra]\n", 9, "zebra", "unknown key", "known are"},
    {P::whole,
     "[master]\nname = \"acme\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\nmasters = [\"*\"]\n",
     1,
     "master",
     "[master]",
     "[[master]]"},
    {P::whole,
     "service = 1\n[[master]]\nname = \"acme\"\nurl = \"https://a.example\"\npublic_token = "
     "\"a\"\nprivate_token_file = \"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     1,
     "service",
     "found 1",
     "[service]"},
    // [service]
    {P::at_end,
     "[service]\nlisten = \"0.0.0.0:9480\"\n",
     10,
     "service.listen",
     "other hosts reach",
     "listen_tls with cert_file and key_file"},
    {P::at_end,
     "[service]\nlisten = \"siem.example:9480\"\n",
     10,
     "service.listen",
     "siem.example",
     "an address"},
    {P::at_end,
     "[[api_token]]\nname = \"t\"\nfile = \"proxy.password\"\nmasters = [\"acme\"]\n"
     "[[api_token]]\nname = \"u\"\nfile = \"proxy.password\"\nmasters = [\"acme\"]\n",
     15,
     "api_token.file",
     "same token as that of \"t\"",
     "one of its own"},
    {P::at_end, "[service]\nlisten = \"127.0.0.1\"\n", 10, "service.listen", "127.0.0.1", "with a port"},
    {P::at_end, "[service]\nlisten = \"127.0.0.1:0\"\n", 10, "service.listen", "port", "with a port"},
    {P::at_end, "[service]\nlisten = 9480\n", 10, "service.listen", "found 9480", "string in quotes"},
    {P::at_end,
     "[service]\nlog_level = \"warn\"\n",
     10,
     "service.log_level",
     "\"warn\"",
     "error, warning, info or debug; did you mean \"warning\""},
    {P::at_end, "[service]\nlog_format = \"xml\"\n", 10, "service.log_format", "\"xml\"", "text or json"},
    {P::at_end, "[service]\nstate_dir = \"\"\n", 10, "service.state_dir", "empty", "/var/lib/dtbridge"},
    {P::at_end,
     "[service]\nloglevel = \"info\"\n",
     10,
     "service.loglevel",
     "unknown key in [service]",
     "did you mean \"log_level\""},
    {P::at_end,
     "[service]\nlisten_tls = { cert_file = \"x.pem\" }\n",
     10,
     "service.listen_tls.cert_file",
     "belong together",
     "both or neither"},
    // [archive]
    {P::at_end,
     "[archive]\nurl = \"postgresql://u:hunter2-proxy-password@db/x\"\n",
     10,
     "archive.url",
     "holds a password",
     "a file that password_file names"},
    {P::at_end,
     "[archive]\nurl = \"postgresql://db.example/x?password=hunter2-proxy-password\"\n",
     10,
     "archive.url",
     "holds a password",
     "a file that password_file names"},
    {P::at_end,
     "[archive]\nschema_per_master = true\n",
     10,
     "archive.schema_per_master",
     "of an archive in PostgreSQL",
     "SQLite in state_dir"},
    {P::at_end,
     "[archive]\nurl = \"postgresql://db/x\"\npartition = \"1m\"\n",
     11,
     "archive.partition",
     "\"1m\"",
     "1h"},
    {P::at_end,
     "[archive]\nbridge = \"node1\"\n",
     10,
     "archive.bridge",
     "of an archive in PostgreSQL",
     "SQLite in state_dir"},
    {P::at_end,
     "[archive]\nurl = \"postgresql://db/x\"\nbridge = \"Node 1\"\n",
     11,
     "archive.bridge",
     "cannot be the name of a bridge",
     "up to 63 of a-z"},
    {P::at_end,
     "[archive]\nurl = \"mysql://db\"\n",
     10,
     "archive.url",
     "not an archive",
     "SQLite in state_dir"},
    {P::at_end, "[archive]\nretention = \"90 days\"\n", 10, "archive.retention", "\"90 days\"", "\"90d\""},
    {P::at_end, "[archive]\nretention = 90\n", 10, "archive.retention", "found 90", "in quotes"},
    {P::at_end, "[archive]\nmax_size = \"20 gigs\"\n", 10, "archive.max_size", "20 gigs", "20GiB"},
    {P::at_end, "[archive]\nmax_size = \"1KiB\"\n", 10, "archive.max_size", "1KiB", "from 1MiB"},
    {P::at_end,
     "[archive]\nwhen_full = \"stop\"\n",
     10,
     "archive.when_full",
     "\"stop\"",
     "drop_oldest or pause"},
    // [[master]]
    {P::at_master,
     "intervall = \"10s\"",
     6,
     "master.intervall",
     "unknown key in [master]",
     "did you mean \"interval\""},
    {P::at_master,
     "private_token = \"0c0ffee0secret0secret0secret0c0ffee00000\"",
     6,
     "master.private_token",
     "unknown key",
     "private_token_file"},
    {P::at_master, "formerly = \"Old Name\"", 6, "master.formerly", "Old Name", "a-z, 0-9 and -"},
    {P::at_master, "formerly = \"acme\"", 6, "master.formerly", "in use at line 2", "old name"},
    {P::at_master, "interval = \"0s\"", 6, "master.interval", "\"0s\"", "from 100ms to 1d"},
    {P::at_master, "interval = \"ten seconds\"", 6, "master.interval", "ten seconds", "\"10s\""},
    {P::at_master, "timeout = \"2h\"", 6, "master.timeout", "2h", "to 1h"},
    {P::at_master, "window = \"both\"", 6, "master.window", "\"both\"", "auto, creation or activity"},
    {P::at_master, "time_parameters = \"iso\"", 6, "master.time_parameters", "\"iso\"", "epoch or text"},
    {P::at_master,
     "date_format = \"rfc1122\"",
     6,
     "master.date_format",
     "rfc1122",
     "did you mean \"rfc1123\""},
    {P::at_master, "public_url = \"ftp://x.example\"", 6, "master.public_url", "ftp://x.example", "https://"},
    {P::at_master,
     "proxy = \"proxy.example:3128\"",
     6,
     "master.proxy",
     "not an http:// address",
     "http://host:port"},
    {P::at_master,
     "proxy = \"http://proxy.example\"",
     6,
     "master.proxy",
     "proxy.example",
     "http://host:port"},
    {P::at_master,
     "proxy = \"http://u:hunter2-proxy-password@proxy.example:3128\"",
     6,
     "master.proxy",
     "holds a password",
     "proxy_password_file"},
    {P::at_master,
     "proxy_password_file = \"proxy.password\"",
     6,
     "master.proxy_password_file",
     "without a proxy",
     "http://user@host:port"},
    {P::at_master,
     "proxy = \"http://u@proxy.example:3128\"\nproxy_password_file = \"nothing\"",
     7,
     "master.proxy_password_file",
     "is missing",
     "nothing"},
    {P::at_master, "labels = { tenant = 5 }", 6, "master.labels.tenant", "an integer", "a string"},
    {P::at_master,
     "labels = { \"te nant\" = \"x\" }",
     6,
     "master.labels.te nant",
     "not a label's name",
     "letters, digits"},
    {P::at_master,
     "tls = { fingerprint_sha256 = \"AA:BB\" }",
     6,
     "master.tls.fingerprint_sha256",
     "4 characters",
     "64 hex digits"},
    {P::at_master,
     "tls = { fingerprint_sha256 = \"zzbbccddeeff00112233445566778899aabbccddeeff00112233445566778899\" }",
     6,
     "master.tls.fingerprint_sha256",
     "zzbbcc",
     "64 hex digits"},
    {P::at_master, "tls = { ca_file = \"no.pem\" }", 6, "master.tls.ca_file", "no.pem", "is missing"},
    {P::at_master,
     "tls = { ca_file = \"acme.token\" }",
     6,
     "master.tls.ca_file",
     "holds no certificate",
     "BEGIN CERTIFICATE"},
    {P::at_master,
     "tls = { cert_file = \"x.pem\" }",
     6,
     "master.tls.cert_file",
     "not client certificates",
     "left out"},
    {P::at_master, "tls = true", 6, "master.tls", "found true", "a table"},
    {P::at_master,
     "tls.server_name = \"https://x.example/\"",
     6,
     "master.tls.server_name",
     "https://x.example/",
     "without port or wildcard"},
    {P::at_master, "tls = { verify = \"no\" }", 6, "master.tls.verify", "\"no\"", "true or false"},
    {P::at_master,
     "tls = { verify = false, fingerprint_sha256 = "
     "\"aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899\" }",
     6,
     "master.tls.verify",
     "turn the fingerprint off",
     "verify = true"},
    {P::at_master, "enrich = true", 6, "master.enrich", "found true", "table"},
    {P::whole,
     "[[master]]\nname = \"Acme\"\nurl = \"https://a.example\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\nmasters = [\"acme-x\"]\n",
     2,
     "master.name",
     "\"Acme\"",
     "a-z, 0-9 and -"},
    {P::whole,
     "[[master]]\nname = \"acme-with-a-name-that-has-sixty-four-characters-which-is-1-more.\"\nurl = "
     "\"https://a.example\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     2,
     "master.name",
     "acme-with-a-name",
     "63 characters"},
    {P::whole,
     "[[master]]\nurl = \"https://a.example\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     1,
     "master.name",
     "is missing",
     "a-z, 0-9 and -"},
    {P::whole,
     "[[master]]\nname = \"a\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     1,
     "master.url",
     "is missing",
     "https://"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"https://a.example/api\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     3,
     "master.url",
     "with a path",
     "https://"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"https://u:hunter2-proxy-password@a.example\"\npublic_token = "
     "\"a\"\nprivate_token_file = \"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     3,
     "master.url",
     "user or password",
     "https://"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"darktrace.acme.example\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     3,
     "master.url",
     "not an http or https address",
     "https://"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"https://a.example:0\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     3,
     "master.url",
     "port",
     "https://"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"https://a.example\"\nprivate_token_file = "
     "\"acme.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     1,
     "master.public_token",
     "is missing",
     "System Config"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"https://a.example\"\npublic_token = "
     "\"\xe2\x80\xa6\"\nprivate_token_file = \"acme.token\"\n[[destination]]\nname = \"d\"\naddress = "
     "\"d.example\"\n",
     4,
     "master.public_token",
     "not a token",
     "letters and digits"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"https://a.example\"\npublic_token = \"a\"\n[[destination]]\nname = "
     "\"d\"\naddress = \"d.example\"\n",
     1,
     "master.private_token_file",
     "is missing",
     "a file"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"https://a.example\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"nowhere/a.token\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     5,
     "master.private_token_file",
     "nowhere/a.token",
     "is missing"},
    {P::whole,
     "[[master]]\nname = \"a\"\nurl = \"https://a.example\"\npublic_token = \"a\"\nprivate_token_file = "
     "\"0c0ffee0secret0secret0secret0c0ffee00000\"\n[[destination]]\nname = \"d\"\naddress = \"d.example\"\n",
     5,
     "master.private_token_file",
     "looks like the secret itself",
     "put it into a file"},
    {P::at_end,
     "[[master]]\nname = \"acme\"\nurl = \"https://b.example\"\npublic_token = \"b\"\nprivate_token_file = "
     "\"acme.token\"\n",
     10,
     "master.name",
     "which line 2 has too",
     "a name of its own"},
    // [master.query]
    {P::at_master, "[master.query]\nstarttime = 1", 7, "master.query.starttime", "refused", "left out"},
    {P::at_master, "[master.query]\nendtime = 1", 7, "master.query.endtime", "time window", "left out"},
    {P::at_master,
     "[master.query]\nfrom = \"2024-01-01\"",
     7,
     "master.query.from",
     "time window",
     "left out"},
    {P::at_master, "[master.query]\nto = \"2024-01-01\"", 7, "master.query.to", "time window", "left out"},
    {P::at_master, "[master.query]\npbid = 5", 7, "master.query.pbid", "single breaches", "left out"},
    {P::at_master,
     "[master.query]\ncreationtime = true",
     7,
     "master.query.creationtime",
     "key window",
     "left out"},
    {P::at_master,
     "[master.query]\ngroup = \"device\"",
     7,
     "master.query.group",
     "score by the device's",
     "left out"},
    {P::at_master,
     "[master.query]\nresponsedata = \"pbid\"",
     7,
     "master.query.responsedata",
     "leaves out fields",
     "left out"},
    {P::at_master,
     "[master.query]\nincludeackowledged = true",
     7,
     "master.query.includeackowledged",
     "unknown key",
     "did you mean \"includeacknowledged\""},
    {P::at_master,
     "[master.query]\nminimal = \"true\"",
     7,
     "master.query.minimal",
     "\"true\"",
     "without quotes"},
    {P::at_master, "[master.query]\nuuid = \"a b\"", 7, "master.query.uuid", "\"a b\"", "letters, digits"},
    {P::at_master, "[master.query]\nminscore = 1.5", 7, "master.query.minscore", "1.5", "from 0 to 1"},
    {P::at_master,
     "[master.query]\nsaasfilter = [\"a*b\"]",
     7,
     "master.query.saasfilter",
     "a list",
     "at the end only"},
    {P::at_master,
     "[master.query]\npid = \"x&group=device\"",
     7,
     "master.query.pid",
     "x&group=device",
     "an integer"},
    {P::at_master,
     "[master.query]\ndeviceatop = true\ndeviceattop = true",
     7,
     "master.query.deviceatop",
     "old spelling",
     "only deviceattop"},
    // [[destination]]
    {P::at_destination,
     "adress = \"x\"\n",
     9,
     "destination.adress",
     "unknown key",
     "did you mean \"address\""},
    {P::at_destination, "formerly = \"siem\"\n", 9, "destination.formerly", "in use at line 7", "old name"},
    {P::at_destination,
     "masters = [\"acme\", \"globex\"]\n",
     9,
     "destination.masters",
     "\"globex\", which matches no",
     "acme"},
    {P::at_destination,
     "masters = [\n  \"acme\",\n  \"amce\",\n]\n",
     11,
     "destination.masters",
     "\"amce\"",
     "did you mean \"acme\""},
    {P::at_destination, "masters = [\"emea-*\"]\n", 9, "destination.masters", "\"emea-*\"", "expected acme"},
    {P::at_destination, "masters = []\n", 9, "destination.masters", "empty list", "[\"*\"]"},
    {P::at_destination, "masters = \"*\"\n", 9, "destination.masters", "found \"*\"", "a list of strings"},
    {P::at_destination, "masters = [\"*\", 1]\n", 9, "destination.masters", "found 1", "in quotes"},
    {P::at_destination,
     "addresses = [\"a.example\"]\n",
     9,
     "destination.addresses",
     "both set",
     "one of the two"},
    {P::at_destination,
     "transport = \"tcp+tls\"\n",
     9,
     "destination.transport",
     "tcp+tls",
     "udp, tcp, tls, relp, relp+tls or kafka"},
    {P::at_destination,
     "transport = \"relp\"\nframing = \"newline\"\n",
     10,
     "destination.framing",
     "RELP has frames of its own",
     "left out"},
    {P::at_destination,
     "transport = \"relp+tls\"\nframing = \"octet-counting\"\n",
     10,
     "destination.framing",
     "RELP has frames of its own",
     "left out"},
    {P::at_destination, "transport = \"kafka\"\n", 6, "destination.topic", "is missing", "such as"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"a b\"\n",
     10,
     "destination.topic",
     "\"a b\"",
     "letters, digits and . _ -"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"..\"\n",
     10,
     "destination.topic",
     "\"..\"",
     "neither \".\""},
    {P::at_destination, "transport = \"kafka\"\ntopic = \"\"\n", 10, "destination.topic", "\"\"", "1 to 249"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = "
     "\"ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"
     "ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"
     "tttttttttttttttttttttttttttttttttttttttttttttt\"\n",
     10,
     "destination.topic",
     "ttt",
     "1 to 249"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nframing = \"newline\"\n",
     11,
     "destination.framing",
     "one message",
     "left out"},
    {P::at_destination,
     "topic = \"b\"\n",
     9,
     "destination.topic",
     "belongs to transport \"kafka\"",
     "transport = \"kafka\""},
    {P::at_destination,
     "kafka = { compression = \"none\" }\n",
     9,
     "destination.kafka",
     "belongs to transport \"kafka\"",
     "left out"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { compression = \"lzma\" }\n",
     11,
     "destination.kafka.compression",
     "lzma",
     "none, gzip, snappy, lz4 or zstd"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { compresion = \"lz4\" }\n",
     11,
     "destination.kafka.compresion",
     "unknown key",
     "did you mean \"compression\""},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { sasl_mechanism = \"GSSAPI\", sasl_username = \"u\", "
     "sasl_password_file = \"proxy.password\" }\n",
     11,
     "destination.kafka.sasl_mechanism",
     "GSSAPI",
     "SCRAM-SHA-512"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { sasl_mechanism = \"SCRAM-SHA-256\", sasl_password_file "
     "= \"proxy.password\" }\n",
     11,
     "destination.kafka.sasl_username",
     "is missing",
     "SCRAM-SHA-256"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { sasl_mechanism = \"SCRAM-SHA-256\", sasl_username = "
     "\"u\" }\n",
     11,
     "destination.kafka.sasl_password_file",
     "is missing",
     "a file"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { sasl_mechanism = \"SCRAM-SHA-256\", sasl_username = "
     "\"u\", sasl_password_file = \"none.password\" }\n",
     11,
     "destination.kafka.sasl_password_file",
     "none.password",
     "is missing"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { sasl_username = \"u\" }\n",
     11,
     "destination.kafka.sasl_username",
     "without effect",
     "SCRAM-SHA-256"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { sasl_password_file = \"proxy.password\" }\n",
     11,
     "destination.kafka.sasl_password_file",
     "without effect",
     "left out"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\nkafka = { sasl_mechanism = \"PLAIN\", sasl_username = \"u\", "
     "sasl_password_file = \"proxy.password\" }\n",
     11,
     "destination.kafka.sasl_mechanism",
     "in the clear",
     "SCRAM-SHA-512"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\ntls = { fingerprint_sha256 = "
     "\"abababababababababababababababababababababababababababababababab\" }\n",
     11,
     "destination.tls.fingerprint_sha256",
     "cannot pin",
     "ca_file"},
    {P::at_destination,
     "transport = \"kafka\"\ntopic = \"b\"\ntls = { server_name = \"siem.example\" }\n",
     11,
     "destination.tls.server_name",
     "own names",
     "left out"},
    {P::at_destination,
     "sasl_password_file = \"x\"\n",
     9,
     "destination.sasl_password_file",
     "unknown key",
     "kafka"},
    {P::at_destination, "heartbeat = \"0s\"\n", 9, "destination.heartbeat", "\"0s\"", "1s"},
    {P::at_destination,
     "framing = \"lf\"\n",
     9,
     "destination.framing",
     "\"lf\"",
     "octet-counting, newline or nul"},
    {P::at_destination,
     "header = \"rfc-5424\"\n",
     9,
     "destination.header",
     "rfc-5424",
     "did you mean \"rfc5424\""},
    {P::at_destination, "facility = \"local8\"\n", 9, "destination.facility", "local8", "local7"},
    {P::at_destination, "severity = \"error\"\n", 9, "destination.severity", "\"error\"", "err"},
    {P::at_destination,
     "app_name = \"dark trace\"\n",
     9,
     "destination.app_name",
     "dark trace",
     "without blanks"},
    {P::at_destination, "hostname = \"siem01\"\n", 9, "destination.hostname", "siem01", "master or bridge"},
    {P::at_destination, "time_offset = \"+1\"\n", 9, "destination.time_offset", "\"+1\"", "\"+01:00\""},
    {P::at_destination, "time_offset = \"+15:00\"\n", 9, "destination.time_offset", "+15:00", "\"+14:00\""},
    {P::at_destination, "format = \"xml\"\n", 9, "destination.format", "\"xml\"", "json, cef or leef"},
    {P::at_destination,
     "fields = \"own.toml\"\n",
     9,
     "destination.fields",
     "has no field map",
     "cef or leef"},
    {P::at_destination,
     "format = \"cef\"\nfields = \"own.toml\"\n",
     10,
     "destination.fields",
     "own.toml is missing",
     "the built-in one"},
    {P::at_destination,
     "json = { shape = \"flat\" }\n",
     9,
     "destination.json.shape",
     "\"flat\"",
     "native or api"},
    {P::at_destination,
     "json = { cookie = \"@cee\" }\n",
     9,
     "destination.json.cookie",
     "\"@cee\"",
     "\"@cee:\""},
    {P::at_destination, "cef = { version = 2 }\n", 9, "destination.cef.version", "found 2", "from 0 to 1"},
    {P::at_destination, "cef = { vendor = \"\" }\n", 9, "destination.cef.vendor", "0 bytes", "1 to 63"},
    {P::at_destination,
     "cef = { device_version = \"12345678901234567890123456789012\" }\n",
     9,
     "destination.cef.device_version",
     "32 bytes",
     "1 to 31"},
    {P::at_destination,
     "cef = { severity = \"scores\" }\n",
     9,
     "destination.cef.severity",
     "scores",
     "did you mean \"score\""},
    {P::at_destination,
     "cef = { severity = { Critical = 11 } }\n",
     9,
     "destination.cef.severity.Critical",
     "expected",
     "from 0 to 10"},
    {P::at_destination,
     "leef = { severity = { Critical = 0 } }\n",
     9,
     "destination.leef.severity.Critical",
     "expected",
     "from 1 to 10"},
    {P::at_destination, "leef = { version = 2.0 }\n", 9, "destination.leef.version", "found 2", "in quotes"},
    {P::at_destination,
     "leef = { delimiter = \"|\" }\n",
     9,
     "destination.leef.delimiter",
     "\"|\"",
     "one of ^ #"},
    {P::at_destination,
     "leef = { delimiter = \"x5e\" }\n",
     9,
     "destination.leef.delimiter",
     "x5e",
     "one of ^ #"},
    {P::at_destination,
     "leef = { version = \"1.0\", delimiter = \"^\" }\n",
     9,
     "destination.leef.delimiter",
     "LEEF 1.0",
     "left out"},
    {P::at_destination,
     "leef = { event_id = \"name\" }\n",
     9,
     "destination.leef.event_id",
     "\"name\"",
     "model, uuid or pid"},
    {P::at_destination,
     "rules = \"stage-9.toml\"\n",
     9,
     "destination.rules",
     "stage-9.toml is missing",
     "mappings/stage-1.toml"},
    {P::at_destination, "held_back = \"keep\"\n", 9, "destination.held_back", "\"keep\"", "drop or mark"},
    {P::at_destination, "start = \"yesterday\"\n", 9, "destination.start", "yesterday", "or \"all\""},
    {P::at_destination, "hold = \"forever\"\n", 9, "destination.hold", "forever", "or \"\""},
    {P::at_destination, "max_message = \"8 KiB!\"\n", 9, "destination.max_message", "8 KiB!", "8KiB"},
    {P::at_destination, "max_message = \"64B\"\n", 9, "destination.max_message", "64B", "from 256B"},
    {P::at_destination,
     "transport = \"udp\"\nmax_message = \"64KiB\"\n",
     10,
     "destination.max_message",
     "more than a UDP datagram",
     "65507B"},
    {P::at_destination, "pace = \"200\"\n", 9, "destination.pace", "\"200\"", "\"200/s\""},
    {P::at_destination, "pace = \"0/s\"\n", 9, "destination.pace", "\"0/s\"", "\"200/s\""},
    {P::at_destination, "annotate = 1\n", 9, "destination.annotate", "found 1", "true or false"},
    {P::at_destination, "profile = \"Splunk\"\n", 9, "destination.profile", "Splunk", "splunk-sc4s"},
    {P::at_destination,
     "profile = \"sentinal\"\n",
     9,
     "destination.profile",
     "sentinal",
     "did you mean \"sentinel\""},
    {P::at_end,
     "[[destination]]\nname = \"two\"\n",
     9,
     "destination.address",
     "is missing",
     "siem.example:6514"},
    {P::at_end,
     "[[destination]]\nname = \"two\"\naddress = \"siem.example:0\"\n",
     11,
     "destination.address",
     "port",
     "host:port or [v6]:port"},
    {P::at_end,
     "[[destination]]\nname = \"two\"\naddress = \"2001:db8::1:port\"\n",
     11,
     "destination.address",
     "2001:db8::1:port",
     "[v6]:port"},
    {P::at_end,
     "[[destination]]\nname = \"two\"\naddresses = [\"a.example\",\n\"b.example:70000\"]\n",
     12,
     "destination.addresses",
     "70000",
     "host:port"},
    {P::at_end,
     "[[destination]]\nname = \"two\"\naddresses = []\n",
     11,
     "destination.addresses",
     "0 addresses",
     "1 to 64"},
    {P::at_end,
     "[[destination]]\nname = \"siem\"\naddress = \"a.example\"\n",
     10,
     "destination.name",
     "which line 7 has too",
     "a name of its own"},
    // [enrich]
    {P::at_end,
     "enrich = true\n",
     9,
     "destination.enrich",
     "a master's breaches",
     "[enrich] for all masters"},
    {P::at_end, "[enrich]\nkey = \"ip\"\n", 9, "enrich.file", "is missing", "assets.csv"},
    {P::at_end, "[enrich]\nfile = \"none.csv\"\n", 9, "enrich.key", "is missing", "\"hostname\""},
    {P::at_end,
     "[enrich]\nfile = \"none.csv\"\nkey = \"serial\"\n",
     11,
     "enrich.key",
     "\"serial\"",
     "ip, mac or hostname"},
    {P::at_end,
     "[enrich]\nfile = \"none.csv\"\nkey = \"ip\"\n",
     10,
     "enrich.file",
     "none.csv is missing",
     "a CSV file"},
    {P::at_end,
     "[enrich]\nfile = \"\"\ncolumn = \"ip\"\n",
     11,
     "enrich.column",
     "unknown key in [enrich]",
     "file"},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(errors)

BOOST_DATA_TEST_CASE(one_error, boost::unit_test::data::make(rows), row)
{
    folder f;
    check_one_problem(f, row, false);
}

BOOST_AUTO_TEST_CASE(all_errors_of_a_file_in_the_order_of_its_lines)
{
    folder f;
    auto l = f.load(
        "[service]\n"
        "log_level = \"loud\"\n"
        "colour = true\n"
        "[[destination]]\n"
        "name = \"Siem\"\n"
        "address = \"siem.example:0\"\n"
        "format = \"xml\"\n"
        "[[master]]\n"
        "name = \"acme\"\n"
        "url = \"https://a.example/x\"\n"
        "interval = 10\n"
        "private_token_file = \"none.token\"\n");
    BOOST_TEST(!l.ok);
    std::vector<std::pair<unsigned, std::string>> got;
    for (const auto& p : l.problems)
        got.emplace_back(p.line, p.key);
    const std::vector<std::pair<unsigned, std::string>> expected{{2, "service.log_level"},
                                                                 {3, "service.colour"},
                                                                 {5, "destination.name"},
                                                                 {6, "destination.address"},
                                                                 {7, "destination.format"},
                                                                 {8, "master.public_token"},
                                                                 {10, "master.url"},
                                                                 {11, "master.interval"},
                                                                 {12, "master.private_token_file"}};
    BOOST_TEST_CONTEXT(lines_of(l))
    BOOST_TEST((got == expected));
}

BOOST_AUTO_TEST_CASE(errors_of_other_files_follow_under_their_own_name)
{
    folder f;
    f.write("rules.toml", "[forward]\nmin_score = 2\n");
    f.write("throttled.toml",
            "[forward]\nmin_score = 0.4\n[[throttle]]\nby = [\"model\"]\nlimit = 5\nper = \"1h\"\n");
    f.write("own.toml", "this is no map\n");
    auto l = f.load(std::string(master) + std::string(destination) +
                    "rules = \"rules.toml\"\n"
                    "[[destination]]\nname = \"two\"\naddress = \"two.example\"\nrules = \"rules.toml\"\n"
                    "[[destination]]\nname = \"three\"\naddress = \"three.example\"\nrules = "
                    "\"throttled.toml\"\nformat = \"cef\"\nfields = \"own.toml\"\n"
                    "start = \"never\"\n");
    BOOST_TEST(!l.ok);
    BOOST_TEST_CONTEXT(lines_of(l))
    {
        BOOST_REQUIRE(l.problems.size() == 3u);  // what two destinations share is reported once
        BOOST_TEST(l.problems[0].file == f / "dtbridge.toml");
        BOOST_TEST(l.problems[0].line == 20u);
        BOOST_TEST(l.problems[0].key == "destination.start");
        BOOST_TEST(l.problems[1].file == f / "rules.toml");
        BOOST_TEST(l.problems[1].line == 2u);
        BOOST_TEST(l.problems[2].file == f / "own.toml");
        BOOST_TEST(l.problems[2].line == 1u);
    }
}

BOOST_AUTO_TEST_CASE(an_inventory_is_read_and_its_rows_are_reported_by_line)
{
    folder f;
    f.write("assets.csv", "ip,owner\n10.0.0.1,ann\nnonsense,bob\n");
    f.write("beta.csv", "hostname,site\npc-1,plant\n");
    const std::string second =
        "[[master]]\nname = \"beta\"\nurl = \"https://b.example\"\npublic_token = \"b\"\n"
        "private_token_file = \"acme.token\"\n";
    const std::string all = "[enrich]\nfile = \"assets.csv\"\nkey = \"ip\"\n";
    auto l =
        f.load(std::string(master) + second + "[master.enrich]\nfile = \"beta.csv\"\nkey = \"hostname\"\n" +
               std::string(destination) + all);
    BOOST_TEST_CONTEXT(lines_of(l))
    {
        BOOST_TEST(l.ok);
        BOOST_REQUIRE(l.problems.size() == 1u);
        BOOST_TEST(l.problems[0].warning);
        BOOST_TEST(l.problems[0].file == f / "assets.csv");
        BOOST_TEST(l.problems[0].line == 3u);
        BOOST_REQUIRE(l.value.enrich.size() == 2u);
        BOOST_TEST(l.value.enrich[0].master == "acme");
        BOOST_TEST(l.value.enrich[0].path == f / "assets.csv");
        BOOST_TEST(l.value.enrich[0].inventory->size() == 1u);
        BOOST_TEST(l.value.enrich[1].master == "beta");
        BOOST_TEST((l.value.enrich[1].key == dtbridge::rules::inventory_key::hostname));
    }
    // A master that wants none says so.
    auto without = f.load(std::string(master) + second + "[master.enrich]\nfile = \"\"\n" +
                          std::string(destination) + all);
    BOOST_TEST_CONTEXT(lines_of(without))
    {
        BOOST_TEST(without.ok);
        BOOST_REQUIRE(without.value.enrich.size() == 1u);
        BOOST_TEST(without.value.enrich[0].master == "acme");
    }
}

BOOST_AUTO_TEST_CASE(minimal_and_rules_that_read_tags_exclude_each_other)
{
    folder f;
    f.write("tags.toml", "[forward]\nalways_tags = [\"Enhanced Monitoring\"]\n");
    f.write("score.toml", "[forward]\nmin_score = 0.4\n");
    auto text = [](std::string rules) {
        return std::string(master) + "[master.query]\nminimal = true\n" + std::string(destination) +
               "rules = \"" + rules + "\"\n";
    };
    BOOST_TEST(f.load(text("score.toml")).ok);
    auto l = f.load(text("tags.toml"));
    BOOST_TEST_CONTEXT(lines_of(l))
    {
        BOOST_TEST(!l.ok);
        BOOST_REQUIRE(l.problems.size() == 1u);
        BOOST_TEST(l.problems[0].line == 7u);
        BOOST_TEST(l.problems[0].key == "master.query.minimal");
        BOOST_TEST(l.problems[0].message.find("\"siem\"") != std::string::npos);
        BOOST_TEST(l.problems[0].message.find("expected false") != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(other_hosts_are_listened_to_with_tls_and_a_token_only)
{
    folder f;
    const auto made = make_certificate(), other = make_certificate();
    f.write("c.pem", made.cert);
    f.write("c.key", made.key);
    f.write("other.key", other.key);
    const auto text = [&](const std::string& key, const std::string& token) {
        return std::string(master) + std::string(destination) + "[service]\nlisten = \"192.0.2.1:9480\"\n" +
               (key.empty() ? "" : "listen_tls = { cert_file = \"c.pem\", key_file = \"" + key + "\" }\n") +
               token;
    };
    const std::string token = "[[api_token]]\nname = \"t\"\nfile = \"acme.token\"\nmasters = [\"acme\"]\n";
    const auto good = f.load(text("c.key", token));
    BOOST_TEST_CONTEXT(lines_of(good))
    {
        BOOST_TEST(good.ok);
        BOOST_TEST(good.problems.empty());
        BOOST_TEST(good.value.service.listen_cert_file == f / "c.pem");
        BOOST_TEST(good.value.service.listen_key_file == f / "c.key");
        BOOST_REQUIRE(good.value.tokens.size() == 1u);
        BOOST_TEST(good.value.tokens[0].token.equals(config_test::private_token));
        BOOST_TEST(good.value.tokens[0].masters == std::vector<std::string>{"acme"},
                   boost::test_tools::per_element());
    }
    const auto one_problem = [&](const dtbridge::config::loaded& l, const char* key, const char* words) {
        BOOST_TEST_CONTEXT(lines_of(l))
        {
            BOOST_TEST(!l.ok);
            BOOST_REQUIRE(l.problems.size() == 1u);
            BOOST_TEST(l.problems[0].key == key);
            BOOST_TEST(l.problems[0].message.find(words) != std::string::npos);
        }
    };
    one_problem(f.load(text("c.key", "")), "api_token", "no [[api_token]]");
    one_problem(f.load("api_token = []\n" + text("c.key", "")), "api_token", "no [[api_token]]");
    one_problem(f.load(text("", token)), "service.listen", "listen_tls");
    one_problem(f.load(text("other.key", token)), "service.listen_tls.key_file", "does not belong");
    f.write("blank.token", "two words of a token\n");
    one_problem(
        f.load(text("c.key", "[[api_token]]\nname = \"t\"\nfile = \"blank.token\"\nmasters = [\"acme\"]\n")),
        "api_token.file",
        "blanks");
}

BOOST_AUTO_TEST_CASE(names_that_are_wrong_themselves_are_not_reported_again_where_they_are_used)
{
    folder f;
    auto l = f.load(
        "[[master]]\nname = \"ACME\"\nurl = \"https://a.example\"\npublic_token = \"a\"\nprivate_token_file "
        "= \"acme.token\"\n"
        "[[destination]]\nname = \"d\"\naddress = \"d.example\"\nmasters = [\"acmé\"]\n");
    BOOST_TEST(l.problems.size() == 1u);
}

BOOST_AUTO_TEST_CASE(so_many_masters_and_destinations_and_no_more)
{
    folder f;
    const auto masters = [](int n) {
        std::string text;
        for (int i = 0; i < n; ++i)
            text += "[[master]]\nname = \"m" + std::to_string(i) +
                    "\"\nurl = \"https://a.example\"\npublic_token = \"a\"\nprivate_token_file = "
                    "\"acme.token\"\n";
        return text;
    };
    const auto destinations = [](int n) {
        std::string text;
        for (int i = 0; i < n; ++i)
            text += "[[destination]]\nname = \"d" + std::to_string(i) +
                    "\"\naddress = \"d.example\"\nmasters = [\"m0\"]\n";
        return text;
    };
    BOOST_TEST(f.load(masters(1) + destinations(1000)).ok);
    auto l = f.load(masters(1) + destinations(1001));
    BOOST_TEST(!l.ok);
    BOOST_REQUIRE(l.problems.size() == 1u);
    BOOST_TEST(l.problems[0].key == "destination");
    BOOST_TEST(l.problems[0].line == 5 + 4 * 1000 + 1);
    BOOST_TEST(l.problems[0].message.find("expected at most 1000") != std::string::npos);
    // 10,001 of the shortest; each is wrong by itself, too.
    std::string many;
    for (int i = 0; i <= 10'000; ++i)
        many += "[[master]]\n";
    l = f.load(many + destinations(1));
    BOOST_TEST(!l.ok);
    bool said = false;
    for (const auto& p : l.problems)
        said = said || (p.line == 10'001 && p.message.find("expected at most 10000") != std::string::npos);
    BOOST_TEST(said);
}

BOOST_AUTO_TEST_SUITE_END()
