"""Holds deploy/ against the source: every setting, metric, path and port named there exists, and numbers that follow from defaults
still do. Writes what promtool should look at into a directory.

    check_deploy.py DIRECTORY [RENDERED.yaml...]
"""

import json
import pathlib
import re
import sys
import tomllib

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/stockgate"
# Those of the program itself, beside settings: src/config/environment.rs, src/cli/serve.rs, src/cli/gateway.rs.
SHORT = {"STOCKGATE_REDIS_URL", "STOCKGATE_GRPC_LISTEN", "STOCKGATE_HTTP_LISTEN", "STOCKGATE_CONFIG", "STOCKGATE_GATEWAY"}
# What Prometheus makes itself.
NOT_OURS = {"up"}
SUFFIXES = {"Counter": {""}, "Gauge": {""}, "Histogram": {"_bucket", "_sum", "_count"}}
# src/app.rs: until health has said no, and to cut off what is late: calls, what is queued, pages.
NOTICE_PATIENCE_S, CUT_PATIENCE_S, CUTS = 1, 3, 3

complaints: list[str] = []


def complain_unless(ok: bool, complaint: str) -> None:
    if not ok:
        complaints.append(complaint)


def read(path: str) -> str:
    return (ROOT / path).read_text()


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)(ms|s|m|h)", text).groups()
    return float(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def below(folder: pathlib.Path):
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


DEFAULTS = tomllib.loads(read("config.default.toml"))
CHANNEL = tomllib.loads(
    "\n".join(line.removeprefix("#channel ") for line in read("config.default.toml").splitlines() if line.startswith("#channel "))
)["channels"][0]
CARGO = tomllib.loads(read("Cargo.toml"))["package"]
METRICS = {
    name + suffix
    for kind, name in re.findall(r'^    (Counter|Gauge|Histogram) \w+ = "(\w+)":', read("src/telemetry.rs"), re.M)
    for suffix in SUFFIXES[kind]
}


def check_settings(where: str, text: str) -> None:
    """A TOML file names only settings that exist."""
    settings = tomllib.loads(text)
    for channel in settings.pop("channels", []):
        for field in channel:
            complain_unless(field in CHANNEL, f"{where}: no channel has {field}")
    for section, fields in settings.items():
        complain_unless(section in DEFAULTS, f"{where}: there is no section [{section}]")
        for field in fields:
            complain_unless(field in DEFAULTS.get(section, {}), f"{where}: there is no setting {section}.{field}")


def check_variables(where: str, text: str) -> None:
    for name in set(re.findall(r"\bSTOCKGATE_[A-Z0-9_]+", text)) - SHORT:
        parts = name.removeprefix("STOCKGATE__").lower().split("__")
        if parts[0] == "channels":
            known = parts[-1] in CHANNEL
        else:
            known = len(parts) == 2 and parts[1] in DEFAULTS.get(parts[0], {})
        # What ends in _ is a prefix that a comment speaks of.
        complain_unless(known or name.endswith("_"), f"{where}: {name} is no setting")


def check_query(where: str, query: str, records: set[str]) -> None:
    """A query asks only for metrics that /metrics shows."""
    bare = re.sub(r'"[^"]*"|\[[^]]*]', "", query)
    bare = re.sub(r"\{[^}]*}|\b(by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w*\s*\()", bare)
    called = set(re.findall(r"([a-zA-Z_:][\w:]*)\s*\(", bare))
    keywords = {"by", "without", "on", "ignoring", "and", "or", "unless", "bool", "sum", "max", "min", "count"}
    for word in set(words) - called - keywords:
        complain_unless(word in METRICS | records | NOT_OURS, f"{where}: there is no metric {word}")


def check_rules() -> set[str]:
    rules = [rule for group in yaml.safe_load(read("deploy/prometheus/rules.yml"))["groups"] for rule in group["rules"]]
    records = {rule["record"] for rule in rules if "record" in rule}
    tests = yaml.safe_load(read("deploy/prometheus/tests.yml"))["tests"]
    fired = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    by_name = {}
    for rule in rules:
        name = rule.get("record") or rule["alert"]
        by_name[name] = rule["expr"]
        check_query(f"rules.yml, {name}", rule["expr"], records)
        complain_unless("record" in rule or name in fired, f"tests.yml: {name} is never fired")
    for test in tests:
        for series in test["input_series"]:
            check_query(f"tests.yml, {test['name']}", series["series"], records)
    propagation = DEFAULTS["propagation"]
    for name, limit in [
        ("StockgateQueueLong", DEFAULTS["committer"]["queue_max"] // 2),
        ("StockgateChannelLags", round(seconds(propagation["lag_critical"]))),
        ("StockgateChannelLagCosts", round(seconds(propagation["lag_cost"]))),
    ]:
        complain_unless(f"> {limit}\n" in by_name[name] + "\n", f"rules.yml: {name} should begin above {limit}, the default")
    return records


def check_dashboards(records: set[str], out: pathlib.Path) -> None:
    paths = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
    # promtool parses queries only as rules.
    groups = [{"name": path.stem, "rules": check_dashboard(path, records)} for path in paths]
    (out / "dashboard.yml").write_text(yaml.safe_dump({"groups": groups}))


def check_dashboard(path: pathlib.Path, records: set[str]) -> list[dict[str, str]]:
    dashboard = json.loads(path.read_text())
    taken: dict[tuple[int, int], str] = {}
    rules = []
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            complain_unless(cell[0] < 24, f"{path.name}: {panel['title']} is beyond the edge")
            complain_unless(cell not in taken, f"{path.name}: {panel['title']} lies on {taken.get(cell)}")
            taken[cell] = panel["title"]
        for target in panel.get("targets", []):
            query = re.sub(r"\$(namespace|channel|carrier)\b", ".*", target["expr"].replace("$__rate_interval", "1m"))
            check_query(f"{path.name}, {panel['title']}", query, records)
            rules.append({"record": f"{path.stem}_{panel['id']}_{target['refId'].lower()}", "expr": query})
    for variable in dashboard["templating"]["list"]:
        for metric in re.findall(r"label_values\((\w+)", variable.get("definition", "")):
            check_query(f"{path.name}, {variable['name']}", metric, records)
    uid = yaml.safe_load(read("deploy/grafana/provisioning/datasources/prometheus.yaml"))["datasources"][0]["uid"]
    chosen = next(v for v in dashboard["templating"]["list"] if v["name"] == "datasource")["current"]["value"]
    complain_unless(uid == chosen, f"{path.name}: its data source is {chosen}, provisioned is {uid}")
    return rules


def drain_seconds() -> float:
    """What App::shut_down may take, without an embedded Redis."""
    grace, limit = seconds(DEFAULTS["grpc"]["drain_grace"]), seconds(DEFAULTS["grpc"]["drain_timeout"])
    return NOTICE_PATIENCE_S + grace + limit + CUTS * CUT_PATIENCE_S


def check_patience() -> None:
    source = read("src/app.rs")
    for line in [
        f"const NOTICE_PATIENCE: Duration = Duration::from_secs({NOTICE_PATIENCE_S});",
        f"const CUT_PATIENCE: Duration = Duration::from_secs({CUT_PATIENCE_S});",
        "self.servers.end(limit + CUT_PATIENCE)",
        "self.store.end(limit.max(Instant::now() + CUT_PATIENCE))",
        "self.pages.end(limit.max(Instant::now() + CUT_PATIENCE))",
    ]:
        complain_unless(line in source, f"src/app.rs no longer has `{line}`: work out anew how long draining takes")
    drain = drain_seconds()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    compose = yaml.safe_load(read("deploy/compose.yaml"))
    unit = read("deploy/systemd/stockgate@.service")
    # The guard's own margin and the last SIGKILL: src/store/embedded/guarded.rs.
    embedded = seconds(DEFAULTS["embedded"]["stop_timeout"]) + 2 * 2
    for where, given, needed in [
        ("values.yaml", values["terminationGracePeriodSeconds"], drain + values["preStopSeconds"]),
        ("compose.yaml", seconds(compose["x-stockgate"]["stop_grace_period"]), drain),
        ("stockgate@.service", seconds(re.search(r"TimeoutStopSec=(\S+)", unit)[1]), drain + embedded),
    ]:
        complain_unless(given > needed, f"{where}: {given} s to stop, and draining may take {needed} s")


def check_image() -> None:
    dockerfile = read("deploy/docker/Dockerfile")
    complain_unless(f"ARG RUST_VERSION={CARGO['rust-version']}\n" in dockerfile, "Dockerfile: another Rust than Cargo.toml asks for")
    complain_unless(f"ARG VERSION={CARGO['version']}\n" in dockerfile, "Dockerfile: another version than Cargo.toml")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    complain_unless(chart["appVersion"] == CARGO["version"], "Chart.yaml: another appVersion than Cargo.toml")
    allowed = [line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")]
    for path in allowed:
        complain_unless((ROOT / path).exists(), f".dockerignore: there is no {path}")
    # What the manifest and build.rs name has to be in the image's context.
    manifest = tomllib.loads(read("Cargo.toml"))
    needed = ["Cargo.lock", "build.rs", "proto", "lua", "config.default.toml", manifest["lib"]["path"]]
    needed += [target.get("path", "benches") for target in manifest["bin"] + manifest["test"] + manifest["bench"]]
    for path in needed:
        inside = any(path == other or path.startswith(other + "/") for other in allowed)
        complain_unless(inside, f".dockerignore: leaves out {path}, which the build needs")


def check_pages() -> None:
    served = set(re.findall(r'\.route\("(/\w+)"', read("src/http/mod.rs")))
    for path in below(DEPLOY):
        for page in re.findall(r"(?:path: |GET )(/\w+)\b(?!/)", path.read_text()):
            complain_unless(page in served, f"{path.relative_to(ROOT)}: nothing is served at {page}")
    roles = {role.lower() for role in re.search(r"pub enum Role \{(.*?)\}", read("src/config/mod.rs"), re.S)[1].split() if role[0].isupper()}
    roles = {role.strip(",") for role in roles if role.endswith(",")}
    complain_unless({"gateway", "worker", "all"} <= roles, f"the roles are {roles} now")


def check_rendered(path: pathlib.Path, out: pathlib.Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        if not document:
            continue
        if document["kind"] == "ConfigMap":
            check_settings(f"{path.name}, ConfigMap", document["data"]["stockgate.toml"])
        if document["kind"] == "PrometheusRule":
            (out / f"{path.stem}-rules.yml").write_text(yaml.safe_dump(document["spec"]))
        check_variables(path.name, json.dumps(document))


def main() -> None:
    out, rendered = pathlib.Path(sys.argv[1]), [pathlib.Path(path) for path in sys.argv[2:]]
    records = check_rules()
    check_dashboards(records, out)
    check_patience()
    check_image()
    check_pages()
    for path in [*below(DEPLOY), ROOT / "docs/deploy.md"]:
        check_variables(str(path.relative_to(ROOT)), path.read_text())
        if path.suffix == ".toml":
            check_settings(str(path.relative_to(ROOT)), path.read_text())
    for path in rendered:
        check_rendered(path, out)
    for complaint in complaints:
        print(f"check_deploy: {complaint}", file=sys.stderr)
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
