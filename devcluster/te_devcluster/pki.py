"""The cluster's certificates, by openssl: two authorities, one key pair for tokens, and a certificate per component."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from te_devcluster.commands import run
from te_devcluster.workers import Workers, result_of

DAYS = "365"
_CONFIG = "[req]\ndistinguished_name = dn\n[dn]\n"


@dataclass(frozen=True)
class Certificate:
    """What one leaf certificate says."""

    name: str
    common_name: str
    organization: str = ""
    sans: tuple[str, ...] = ()
    server: bool = False
    authority: str = "ca"

    def extensions(self) -> list[str]:
        """The X.509 extensions, as openssl's `-addext` takes them."""
        usages = ["clientAuth", *(["serverAuth"] if self.server else [])]
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            f"extendedKeyUsage={','.join(usages)}",
        ]
        if self.sans:
            lines.append("subjectAltName=" + ",".join(self.sans))
        return lines

    def subject(self) -> str:
        """The subject in openssl's slash form."""
        organization = f"/O={self.organization}" if self.organization else ""
        return f"{organization}/CN={self.common_name}"


def control_plane_certificates(address: str, service_address: str) -> list[Certificate]:
    """The leaves every API server needs, with or without nodes."""
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    sans = [f"DNS:{name}" for name in (*names, "localhost")]
    sans += [f"IP:{ip}" for ip in ("127.0.0.1", service_address, address)]
    return [
        Certificate("apiserver", "kube-apiserver", sans=tuple(sans), server=True),
        Certificate("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Certificate("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
        Certificate("admin", "admin", "system:masters"),
        Certificate("kube-controller-manager", "system:kube-controller-manager"),
        Certificate("kube-scheduler", "system:kube-scheduler"),
    ]


def node_certificates(nodes: Mapping[str, str]) -> list[Certificate]:
    """Client and serving certificate of each kubelet (name -> address), and kube-proxy's."""
    leaves = [Certificate("kube-proxy", "system:kube-proxy")]
    for name, address in nodes.items():
        sans = (f"DNS:{name}", f"IP:{address}")
        leaves.append(Certificate(f"node-{name}", f"system:node:{name}", "system:nodes", sans, server=True))
    return leaves


class Pki:
    """A folder of `NAME.crt` and `NAME.key`, readable by root only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def crt(self, name: str) -> str:
        """The path of a certificate."""
        return str(self.folder / f"{name}.crt")

    def key(self, name: str) -> str:
        """The path of a private key."""
        return str(self.folder / f"{name}.key")

    def create(self, leaves: list[Certificate]) -> None:
        """Makes both authorities, the service accounts' key pair (`sa.key`, `sa.pub`) and the leaves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        (self.folder / "openssl.cnf").write_text(_CONFIG)
        with Workers(4) as pool:
            first = [pool.submit(self._authority, name) for name in ("ca", "front-proxy-ca")]
            first.append(pool.submit(self._token_keys))
            for future in first:
                result_of(future)
            for done in [pool.submit(self._leaf, leaf) for leaf in leaves]:
                result_of(done)

    def _request(self, name: str, subject: str, extensions: list[str], signer: list[str]) -> None:
        command = ["openssl", "req", "-x509", "-config", str(self.folder / "openssl.cnf"), "-days", DAYS, "-nodes"]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", subject]
        command += ["-keyout", self.key(name), "-out", self.crt(name), *signer]
        for extension in extensions:
            command += ["-addext", extension]
        run(command)

    def _authority(self, name: str) -> None:
        usages = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"]
        self._request(name, f"/CN=devcluster-{name}", [*usages, "subjectKeyIdentifier=hash"], [])

    def _leaf(self, leaf: Certificate) -> None:
        signer = ["-CA", self.crt(leaf.authority), "-CAkey", self.key(leaf.authority)]
        self._request(leaf.name, leaf.subject(), leaf.extensions(), signer)

    def _token_keys(self) -> None:
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key("sa")])
        run(["openssl", "ec", "-in", self.key("sa"), "-pubout", "-out", str(self.folder / "sa.pub")])

    def ca_data(self) -> str:
        """The cluster's authority in base64, as kubeconfigs carry it."""
        return _base64(Path(self.crt("ca")))

    def write_kubeconfig(self, path: Path, server: str, leaf: str) -> Path:
        """Writes a kubeconfig that logs in by a leaf's certificate; mode 0600."""
        user = {
            "client-certificate-data": _base64(Path(self.crt(leaf))),
            "client-key-data": _base64(Path(self.key(leaf))),
        }
        return write_kubeconfig(path, server, self.ca_data(), user)


def write_kubeconfig(
    path: Path, server: str, ca_data: str, user: Mapping[str, str], namespace: str = "default"
) -> Path:
    """Writes a kubeconfig (JSON is YAML) with one context; `user` is its credential section. Mode 0600."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "devcluster",
        "clusters": [{"name": "devcluster", "cluster": {"server": server, "certificate-authority-data": ca_data}}],
        "users": [{"name": "user", "user": dict(user)}],
        "contexts": [
            {"name": "devcluster", "context": {"cluster": "devcluster", "user": "user", "namespace": namespace}}
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
