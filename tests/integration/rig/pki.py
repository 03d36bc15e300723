"""A CA, server and client certificates made with the openssl command; keys are made for each run and never kept."""
import hashlib
import shutil
import ssl
import subprocess


class Pki:
    """ca.pem, server.{pem,key}, client.{pem,key} and other-ca.pem with stranger.{pem,key} in folder. leaf() makes more."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._authority("ca", "Test CA")
        self._leaf("ca", "server", "serverAuth")
        self._leaf("ca", "client", "clientAuth")
        self._authority("other-ca", "Another CA")
        self._leaf("other-ca", "stranger", "clientAuth")

    def served(self, who):
        """A folder with that certificate and key as server.pem and server.key."""
        folder = self.folder / f"served-{who}"
        folder.mkdir(exist_ok=True)
        for end in ("pem", "key"):
            shutil.copy(self.folder / f"{who}.{end}", folder / f"server.{end}")
        return folder

    def fingerprint(self, who):
        der = ssl.PEM_cert_to_DER_cert((self.folder / f"{who}.pem").read_text())
        return hashlib.sha256(der).hexdigest()

    def __getattr__(self, name):
        # pki.ca, pki.server, pki.server_key, ...
        if name.startswith("_"):
            raise AttributeError(name)
        stem, _, key = name.rpartition("_key") if name.endswith("_key") else (name, "", "")
        return self.folder / (f"{stem}.key" if name.endswith("_key") else f"{stem.replace('_', '-')}.pem")

    def _run(self, *argv):
        subprocess.run(["openssl", *map(str, argv)], cwd=self.folder, check=True, capture_output=True)

    def _authority(self, stem, name):
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                  "-keyout", f"{stem}.key", "-out", f"{stem}.pem", "-subj", f"/CN={name}",
                  "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def leaf(self, who, usage="serverAuth", ca="ca", **keys):
        """who.pem, who.key; names="DNS:x,IP:y"; days=0: has expired after a second; expired=True: years ago;
        key=("rsa", ..): openssl's -newkey with its options."""
        self._leaf(ca, who, usage, **keys)

    def _leaf(self, ca, who, usage, names="DNS:localhost,DNS:{who}.test,IP:127.0.0.1,IP:::1", days=30, expired=False,
              key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        self._run("req", "-new", "-newkey", *key, "-nodes",
                  "-keyout", f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN={who}.test",
                  "-addext", "subjectAltName=" + names.format(who=who), "-addext", f"extendedKeyUsage={usage}",
                  "-addext", "basicConstraints=CA:FALSE")
        if expired:
            self._sign_in_the_past(ca, who)
            return
        self._run("x509", "-req", "-in", f"{who}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                  "-days", str(days), "-copy_extensions", "copyall", "-out", f"{who}.pem")

    def _sign_in_the_past(self, ca, who):
        # `openssl x509` cannot date back; the CA command can.
        for name, text in (("index.txt", ""), ("serial", "1000\n")):
            (self.folder / name).write_text(text)
        (self.folder / "ca.cnf").write_text(f"""[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
certificate = {ca}.pem
private_key = {ca}.key
default_md = sha256
policy = any
copy_extensions = copyall
unique_subject = no
[any]
commonName = supplied
""")
        self._run("ca", "-batch", "-notext", "-config", "ca.cnf", "-in", f"{who}.csr", "-out", f"{who}.pem",
                  "-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
