"""What the disposable cluster decides without touching anything: names, digests, manifests, marks, routes."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
import yaml
from kindcluster import archives, cluster, daemon, debian, images, modules, nodeimage
from kindcluster.places import TOOLS, Cluster
from kindcluster.words import ClusterError

from testkit import disposable

ROOT = Path(__file__).resolve().parents[3]
KIND_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "kind-resilientslice-e2e",
    "clusters": [{"name": "kind-resilientslice-e2e", "cluster": {"server": "https://127.0.0.1:1"}}],
    "contexts": [
        {
            "name": "kind-resilientslice-e2e",
            "context": {"cluster": "kind-resilientslice-e2e", "user": "kind-resilientslice-e2e"},
        }
    ],
}


def test_a_cluster_is_named_with_our_prefix_and_never_uses_the_users_kubeconfig() -> None:
    named = Cluster.named({"CLUSTER": "mine", "KUBECONFIG": "/home/someone/.kube/config"})
    assert named.name == "resilientslice-mine"
    assert named.context == "kind-resilientslice-mine"
    assert named.kubeconfig == ROOT / "build" / "kind" / "mine.kubeconfig"
    assert Cluster.named({}).name == "resilientslice-e2e"
    assert Cluster.named({}).kubeconfig == ROOT / "build" / "kind" / "kubeconfig"


class TestMark:
    def test_a_marked_kubeconfig_is_disposable(self) -> None:
        assert not disposable.is_disposable(KIND_KUBECONFIG)
        assert disposable.is_disposable(disposable.marked(KIND_KUBECONFIG))

    def test_marking_twice_is_marking_once(self) -> None:
        once = disposable.marked(KIND_KUBECONFIG)
        assert disposable.marked(once) == once

    def test_what_others_wrote_stays(self) -> None:
        other = {"name": "example.org/x", "extension": {"a": 1}}
        config = {
            **KIND_KUBECONFIG,
            "clusters": [
                {"name": "kind-resilientslice-e2e", "cluster": {"server": "https://127.0.0.1:1", "extensions": [other]}}
            ],
        }
        assert other in disposable.marked(config)["clusters"][0]["cluster"]["extensions"]

    @pytest.mark.parametrize(
        "change",
        [
            {"current-context": "production"},
            {"current-context": None},
            {"contexts": [{"name": "kind-resilientslice-e2e", "context": {"cluster": "production"}}]},
            {"contexts": []},
            {"clusters": []},
            {"clusters": [{"name": "kind-resilientslice-e2e", "cluster": {"server": "https://10.0.0.1"}}]},
        ],
    )
    def test_anything_else_is_not(self, change: dict) -> None:
        assert not disposable.is_disposable({**disposable.marked(KIND_KUBECONFIG), **change})

    def test_a_mark_that_says_no_is_none(self) -> None:
        config = disposable.marked(KIND_KUBECONFIG)
        config["clusters"][0]["cluster"]["extensions"][0]["extension"]["disposable"] = False
        assert not disposable.is_disposable(config)


class TestNodes:
    @pytest.mark.parametrize(("text", "count"), [("", 1), ("1", 1), ("3", 3), ("9", 9)])
    def test_count(self, text: str, count: int) -> None:
        assert cluster.node_count({"NODES": text}) == count

    @pytest.mark.parametrize("text", ["0", "10", "-1", "three", "1.5"])
    def test_a_wrong_count_says_what_is_right(self, text: str) -> None:
        with pytest.raises(ClusterError, match="from 1 to 9"):
            cluster.node_count({"NODES": text})

    def test_the_first_of_them_is_the_control_plane(self) -> None:
        nodes = cluster.kind_configuration(3, "node:x")["nodes"]
        assert [node["role"] for node in nodes] == ["control-plane", "worker", "worker"]
        assert {node["image"] for node in nodes} == {"node:x"}

    def test_plain_kind_gets_no_image(self) -> None:
        assert cluster.kind_configuration(1, None)["nodes"] == [{"role": "control-plane"}]

    def test_only_our_own_kubernetes_gets_patches_of_its_control_plane(self) -> None:
        def kinds(configuration: dict) -> list[str]:
            return [yaml.safe_load(patch)["kind"] for patch in configuration["kubeadmConfigPatches"]]

        assert kinds(cluster.kind_configuration(1, "kindest/node:v1.37.0")) == ["KubeletConfiguration"]
        lean = kinds(cluster.kind_configuration(1, "node:x", lean=True))
        assert lean == ["KubeletConfiguration", "InitConfiguration", "ClusterConfiguration"]

    def test_our_own_control_plane_keeps_an_audit_log_by_the_committed_policy(self) -> None:
        lean = cluster.kind_configuration(3, "node:x", lean=True)
        [mount] = lean["nodes"][0]["extraMounts"]
        assert (Path(mount["hostPath"]) / "policy.yaml").is_file()
        assert not any("extraMounts" in node for node in lean["nodes"][1:])
        server = yaml.safe_load(lean["kubeadmConfigPatches"][2])["apiServer"]
        places = {volume["mountPath"] for volume in server["extraVolumes"]}
        assert {
            str(Path(server["extraArgs"][f"audit-{name}"]).parent) for name in ("policy-file", "log-path")
        } == places

    def test_each_node_gets_routes_to_the_pods_of_all_others(self) -> None:
        nodes = [
            {
                "metadata": {"name": name},
                "spec": {"podCIDR": f"10.244.{index}.0/24"},
                "status": {
                    "addresses": [
                        {"type": "Hostname", "address": name},
                        {"type": "InternalIP", "address": f"172.18.0.{index + 2}"},
                    ]
                },
            }
            for index, name in enumerate(("a", "b", "c"))
        ]
        found = cluster.routes(nodes)
        assert sorted(found) == ["a", "b", "c"]
        assert found["b"] == [
            cluster.Route("10.244.0.0/24", "172.18.0.2"),
            cluster.Route("10.244.2.0/24", "172.18.0.4"),
        ]
        assert cluster.routes(nodes[:1]) == {"a": []}


class TestInputs:
    def test_files_of_a_module_and_the_compiler_count(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "pause"
        folder.mkdir()
        (folder / "go.mod").write_text("module x\n\ngo 1.25.0\n")
        (folder / "main.go").write_text("package main\n")
        monkeypatch.setattr(modules, "TOOLS", tmp_path)
        first = modules.digest_of(modules.PAUSE, "go1.26.0")
        assert modules.digest_of(modules.PAUSE, "go1.26.0") == first
        assert modules.digest_of(modules.PAUSE, "go1.26.1") != first
        (folder / "main.go").write_text("package main // edited\n")
        assert modules.digest_of(modules.PAUSE, "go1.26.0") != first

    def test_a_node_image_is_named_after_its_programs(self) -> None:
        programs = nodeimage.Programs(Path("/cache/apiserver-1"), {"kind": Path("/cache/kind-kind-1")})
        others = nodeimage.Programs(Path("/cache/apiserver-2"), {"kind": Path("/cache/kind-kind-1")})
        elsewhere = nodeimage.Programs(Path("/other/apiserver-1"), {"kind": Path("/other/kind-kind-1")})
        assert programs.digest("x") != others.digest("x")
        assert programs.digest("x") != programs.digest("y")
        assert programs.digest("x") == elsewhere.digest("x")

    def test_the_cluster_runs_the_kubernetes_that_the_api_server_tests_run(self) -> None:
        tested = (ROOT / "tests" / "apiserver" / "tools" / "go.mod").read_text()
        built = (TOOLS / "kubernetes" / "go.mod").read_text()
        version = nodeimage.source.kubernetes_version
        assert version(built) == version(tested) == nodeimage.version()

    def test_the_manifest_names_the_metrics_server_that_is_built(self) -> None:
        manifest = (ROOT / "tests" / "kind" / "manifests" / "metrics-server.yaml").read_text()
        assert f"image: {nodeimage.METRICS_SERVER_IMAGE}\n" in manifest
        module = (TOOLS / "metrics-server" / "go.mod").read_text()
        assert f"sigs.k8s.io/metrics-server {nodeimage.METRICS_SERVER_IMAGE.rpartition(':')[2]}" in module

    def test_no_module_asks_for_a_newer_go_than_the_locked_one(self) -> None:
        parse = nodeimage.source.version_tuple
        locked = (ROOT / "requirements" / "go.txt").read_text().partition("==")[2].split()[0]
        for path in sorted(TOOLS.glob("*/go.mod")):
            assert parse(nodeimage.source.required_go(path.read_text())) <= parse(locked), path


class TestStorageManifest:
    SOURCE = (
        'const storageProvisionerImage = "example.org/p:1"\nconst storageHelperImage = "example.org/h:2"\n'
        "const defaultStorageManifest = `\nimage: ` + storageProvisionerImage + `\n- ` + storageHelperImage + `\n`\n"
    )

    def test_constants_are_put_in(self) -> None:
        text, provisioner, helper = nodeimage.storage_manifest(self.SOURCE)
        assert (provisioner, helper) == ("example.org/p:1", "example.org/h:2")
        assert text == "image: example.org/p:1\n- example.org/h:2\n"

    @pytest.mark.parametrize("gone", ["storageHelperImage", "defaultStorageManifest"])
    def test_another_kind_is_noticed(self, gone: str) -> None:
        with pytest.raises(ClusterError, match=gone):
            nodeimage.storage_manifest(self.SOURCE.replace(f"const {gone}", "const renamed"))


def test_kubeadms_images_are_found_by_their_last_name() -> None:
    listed = "registry.k8s.io/etcd:3.6.6-0\nregistry.k8s.io/coredns/coredns:v1.13.1\n"
    assert nodeimage.image_names(listed) == {
        "etcd": "registry.k8s.io/etcd:3.6.6-0",
        "coredns": "registry.k8s.io/coredns/coredns:v1.13.1",
    }


class TestArchive:
    def test_it_holds_one_layer_whose_digest_it_states(self, tmp_path: Path) -> None:
        program = tmp_path / "p"
        program.write_bytes(b"\x7fELF")
        image = archives.Image("example.org/x/tool:1", {"usr/local/bin/tool": program}, entrypoint=["/t"], user="1:1")
        path = archives.write(image, tmp_path)
        assert path.name == "tool_1.tar"
        with tarfile.open(path) as tar:
            (manifest,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
            described = json.load(tar.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        assert manifest["RepoTags"] == ["example.org/x/tool:1"]
        assert described["config"]["Entrypoint"] == ["/t"]
        assert described["config"]["User"] == "1:1"
        assert described["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(archives.layer(image)).hexdigest()}"]

    def test_folders_come_before_what_is_in_them_and_once(self, tmp_path: Path) -> None:
        program = tmp_path / "p"
        program.write_bytes(b"x")
        root = tmp_path / "root.tar"
        with tarfile.open(root, "w") as tar:
            for name in (".", "./usr", "./usr/bin"):
                info = tarfile.TarInfo(name)
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
        (tmp_path / "layer.tar").write_bytes(
            archives.layer(archives.Image("x:1", {"usr/bin/a": program, "usr/lib/b": program}, root))
        )
        with tarfile.open(tmp_path / "layer.tar") as tar:
            names = tar.getnames()
            assert tar.getmember("tmp").mode == 0o1777
            assert tar.getmember("usr/bin/a").mode == 0o755
        assert names == ["tmp", "usr", "usr/bin", "usr/bin/a", "usr/lib", "usr/lib/b"]

    def test_the_same_files_make_the_same_image(self, tmp_path: Path) -> None:
        program = tmp_path / "p"
        program.write_bytes(b"x")
        image = archives.Image("x:1", {"a": program})
        first = archives.write(image, tmp_path).read_bytes()
        program.touch()
        with tarfile.open(archives.write(image, tmp_path)) as again, tarfile.open(tmp_path / "x_1.tar") as tar:
            assert again.getnames() == tar.getnames()
        assert len(first) == (tmp_path / "x_1.tar").stat().st_size


class TestDaemon:
    def test_the_wrapper_is_the_runtime_only_where_the_capability_is_missing(self) -> None:
        assert daemon.command("CapBnd:\t000001ffffffffff\n") == ["dockerd"]
        flags = daemon.command("CapBnd:\t000001fffeffffff\n")
        assert f"--add-runtime=runc-possible={daemon.WRAPPER}" in flags
        assert "--default-runtime=runc-possible" in flags

    def test_a_start_time_is_read_past_any_name(self) -> None:
        fields = " ".join(str(number) for number in range(3, 40))
        assert daemon.start_ticks(f"12 (a ) b (c) {fields}") == 22

    def test_a_system_without_capabilities_is_named(self) -> None:
        with pytest.raises(ClusterError, match="Linux"):
            daemon.has_capability("Name:\tx\n", 24)


class TestMirror:
    def test_the_first_that_is_no_security_archive(self) -> None:
        targets = "http://mirror.example/debian-security\nhttp://mirror.example/debian\nhttp://other.example/debian\n"
        assert debian.mirror(targets) == "http://mirror.example/debian"

    def test_none_is_an_error(self) -> None:
        with pytest.raises(ClusterError, match="sources"):
            debian.mirror("\n")


class TestImages:
    def test_tags_are_those_of_the_samples_and_those_asked_for(self) -> None:
        found = images.all_tags({"TAGS": "9.8.7"})
        assert found["example.org/shop/api"] == ("1.0.0", "9.8.7")
        assert found["example.org/web"] == ("1.0.0", "9.8.7")

    def test_only_images_that_are_built_here_count(self) -> None:
        found = images.sample_tags(
            ["image: example.org/shop/api:2\nimage: example.org/ledger/api:3", "example.org/web:4"]
        )
        assert found["example.org/shop/api"] == ("2",)
        assert found["example.org/web"] == ("4",)
        assert found["example.org/shop/worker"] == ()

    def test_every_service_has_a_target_and_the_agent_is_the_operators_image(self) -> None:
        built = images.builds(images.all_tags({}))
        dockerfile = (ROOT / "services" / "Dockerfile").read_text()
        targets = [build.target for build in built if build.target]
        assert targets == ["api", "payments", "catalog", "worker"]
        assert [name for name in targets if f" AS {name}\n" not in dockerfile] == []
        assert images.DEFAULT_IMAGES.agent in built[0].names

    def test_every_source_of_an_image_exists_and_reaches_the_build(self) -> None:
        kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        for build in images.builds(images.all_tags({})):
            for path in build.sources:
                assert path.exists()
                if build.folder == ROOT:
                    assert str(path.relative_to(ROOT)) in kept

    def test_where_pip_finds_packages_is_handed_on_and_nothing_else(self) -> None:
        configuration = images.pip_configuration(
            "global.index-url='https://a.example/simple'\n:env:.index-url='https://b.example/simple'\n"
            ":env:.find-links='/somewhere'\nglobal.cert='/c.pem'\n"
        )
        assert images.pip_arguments(configuration, None) == {"PIP_INDEX_URL": "https://b.example/simple"}
        assert images.pip_arguments({}, "/c.pem") == {"PIP_CERT": "/c.pem"}
