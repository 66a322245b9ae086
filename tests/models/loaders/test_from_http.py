"""`http:` against small servers in a thread, whose model is computed by hand beside it."""

import itertools
import json
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from PIL import Image

import unshaken
from tests.processes import process, run_command
from unshaken.core.classifier import evaluating
from unshaken.core.errors import ModelError, ParameterError, UnshakenError
from unshaken.models import fingerprint, load_model
from unshaken.models.loaders import http_client
from unshaken.models.loaders.http_template import TEMPLATES
from unshaken.store.run_dir import RunDir

WEIGHT = np.random.default_rng(0).integers(-8, 9, (3, 64)).astype(np.float32) / 8
PLAN = [
    {"method": "gaussian_noise", "severities": [1, 3]},
    {"method": "square", "params": {"queries": 5}, "norm": "linf", "eps": [0.1]},
]
BROKEN = {
    "status": (lambda body: None, "answers 500"),
    "truncated": (lambda body: json.dumps(body)[:-9].encode(), "no whole JSON"),
    "nan": (lambda body: b'{"outputs": [{"data": [NaN, 1, 2]}]}', "NaN or infinite"),
    "count": (lambda body: b'{"outputs": [{"data": [1, 2, 3, 4]}]}', "4 scores an image, but the model has 3"),
    "form": (lambda body: b'{"error": "busy"}', "no 'outputs.0.data'"),
    "text": (lambda body: b'{"outputs": [{"data": ["a", "b", "c"]}]}', "no array of numbers"),
}


class Server(ThreadingHTTPServer):
    """A linear model behind the KServe v2 protocol, which keeps what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.images, self.requests, self.headers, self.spoil, self.after = [], 0, [], None, 10**9
        self.sent = []

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # of a client that was killed
            super().handle_error(request, client_address)

    @property
    def spec(self):
        return f"http://127.0.0.1:{self.server_port}/v2/models/net/infer"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        server.requests += 1
        server.headers.append(dict(self.headers))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "inputs" in body:
            entry = body["inputs"][0]
            images = np.array(entry["data"], np.float32).reshape(entry["shape"])
        else:
            images = np.array(body["pixels"], np.float32).transpose(0, 3, 1, 2) / np.float32(255)
        server.sent += [image.tobytes() for image in images]
        scores = images.reshape(len(images), -1) @ WEIGHT.T
        answer = {"outputs": [{"data": scores.ravel().tolist()}], "labels": scores.argmax(1).tolist()}
        data = json.dumps(answer).encode()
        if server.spoil is not None and len(server.images) + len(images) > server.after:
            data = server.spoil(answer)
        else:
            server.images += [image.tobytes() for image in images]
        self.send_response(200 if data is not None else 500)
        data = data or b'{"error": "out of order"}'
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def run_in_thread(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http_client, "FIRST_WAIT", 0.001)
    with run_in_thread(Server()) as running:
        yield running


@pytest.fixture
def pixels():
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (7, 1, 8, 8))).float() / 255


def logits(images):
    return torch.from_numpy(images.numpy().reshape(len(images), -1) @ WEIGHT.T)


def data_of(images):
    return (images * 255).round().to(torch.uint8), logits(images).argmax(1)


def test_it_answers_as_the_model_and_asks_equal_images_once(server, pixels):
    model = load_model(f"{server.spec}?batch=3")
    torch.testing.assert_close(model(torch.cat([pixels, pixels[:2]])), logits(torch.cat([pixels, pixels[:2]])))
    assert (len(server.images), server.requests) == (7, 3)
    again = load_model(f"{server.spec}?batch=2&timeout=5")
    assert torch.equal(again(pixels.flip(0)), model(pixels).flip(0))
    assert len(server.images) == 7
    assert model(pixels[:0]).shape == (0, 3)
    assert fingerprint(again) == fingerprint(model) == fingerprint(pickle.loads(pickle.dumps(model)))
    assert fingerprint(load_model(f"{server.spec}?revision=2")) != fingerprint(model)
    load_model(f"{server.spec}?revision=2")(pixels)
    assert len(server.images) == 14, "another revision is another model"


def test_a_random_model_is_asked_for_equal_images_again(server, pixels, tmp_path):
    signs = itertools.cycle([1, -1])

    def spoil(answer):  # every second answer is the opposite
        server.images.append(b"")
        sign = next(signs)
        answer["outputs"][0]["data"] = [sign * value for value in answer["outputs"][0]["data"]]
        return json.dumps(answer).encode()

    server.spoil, server.after = spoil, -1
    model = load_model(f"{server.spec}?repeat=true&budget=21")
    twins = torch.cat([pixels, pixels[:1]])
    first = model(twins)
    torch.testing.assert_close(first[-1], first[0])  # of one request
    torch.testing.assert_close(model(twins), -first)
    assert (server.requests, model.asked) == (2, 16)
    with pytest.raises(ModelError, match=r"budget of 21 images is spent \(16 asked, 8 more"):
        load_model(f"{server.spec}?repeat=true&budget=21")(twins)
    once = load_model(server.spec)
    assert fingerprint(model) != fingerprint(once)
    assert torch.equal(once(pixels), once(pixels.clone()))
    data, options = data_of(pixels), {"plan": [], "device": "cpu", "workers": 1}
    for tail, flagged, says in (("?repeat=true", True, "shows its spread"), ("", False, "stands for all")):
        found = unshaken.audit(server.spec + tail, data, out=tmp_path / f"{flagged}", **options)
        assert ("randomness" in [flag["name"] for flag in found.summary["flags"]]) is flagged
        assert says in (tmp_path / f"{flagged}" / "report.md").read_text()


def test_a_template_of_ones_own(server, pixels, tmp_path):
    form = {"request": {"pixels": "$images", "size": "$shape"}, "scores": "outputs.0.data", "layout": "NHWC"}
    (tmp_path / "form.json").write_text(json.dumps({**form, "scale": 255}))
    model = load_model(f"{server.spec}?template={tmp_path}/form.json")
    torch.testing.assert_close(model(pixels), logits(pixels), atol=1e-5, rtol=0)


def test_probabilities_become_their_logarithm():
    template = TEMPLATES["mlflow"].model_copy(update={"output": "probabilities"})
    found = template.decode({"predictions": [[0.25, 0.75, 0.0]]}, 1, 0)
    np.testing.assert_allclose(found[0, :2], np.log([0.25, 0.75]), rtol=1e-6)
    assert found[0, 2] == np.log(np.finfo(np.float32).tiny).astype(np.float32)
    with pytest.raises(ModelError, match="output=logits is meant"):
        template.decode({"predictions": [[0.25, 1.75, 0.0]]}, 1, 0)


@pytest.mark.parametrize("case", BROKEN)
def test_failures_are_one_clear_line(server, pixels, case):
    model = load_model(f"{server.spec}?batch=1&retries=2")
    model(pixels[:1])
    server.spoil, line = BROKEN[case]
    server.after, before = 1, server.requests
    with pytest.raises(ModelError, match=line) as caught:
        model(pixels)
    assert "\n" not in str(caught.value)
    assert server.requests - before == (3 if case in ("status", "truncated") else 1)
    server.spoil = None
    model(pixels)
    assert len(server.images) == len(set(server.images)) == 7


def test_a_failure_that_passes_is_asked_again(server, pixels):
    failures = iter([None, b"{", None])

    def spoil(answer):
        return next(failures, json.dumps(answer).encode())

    server.spoil, server.after = spoil, 0
    torch.testing.assert_close(load_model(server.spec)(pixels), logits(pixels))
    assert server.requests == 4


def test_a_silent_server_ends_in_a_line(server, pixels):
    held = threading.Event()
    server.spoil, server.after = (lambda answer: held.wait(5) and None), 0
    with pytest.raises(ModelError, match=r"no answer within 0.05 s.*1 attempt\)"):
        load_model(f"{server.spec}?timeout=0.05&retries=0")(pixels)
    held.set()


def test_budget_rate_and_header(server, pixels, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", "Bearer s3cret")
    model = load_model(f"{server.spec}?header=Authorization:MODEL_TOKEN&batch=2&budget=5")
    with pytest.raises(ModelError, match=r"budget of 5 images is spent \(4 asked, 2 more"):
        model(pixels)
    assert {h["Authorization"] for h in server.headers} == {"Bearer s3cret"}
    assert b"s3cret" not in pickle.dumps(model)
    assert load_model(f"{server.spec}?budget=7&header=Authorization:MODEL_TOKEN")(pixels).shape == (7, 3)
    assert len(server.images) == 7
    slept = []
    monkeypatch.setattr(http_client.time, "sleep", slept.append)
    monkeypatch.setattr(http_client.time, "monotonic", lambda: 100.0)
    load_model(f"{server.spec}?revision=3&rate=4&batch=2")(pixels)
    assert slept == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ("?header=Authorization", "NAME:VARIABLE"),
        ("?header=Authorization:NOT_THERE_AT_ALL", "'NOT_THERE_AT_ALL' of header 'Authorization' is not set"),
        ("?repeat=yes", "repeat must be true or false, not 'yes'"),
        ("?budget=0", "budget: '0' is out of range"),
        ("?rate=0", "rate must be above 0"),
        ("?template=ksreve", "did you mean 'kserve'"),
        ("?template=absent.json", "no file 'absent.json'"),
        ("?output=labels", "classes=K"),
        ("?output=scores", "no output 'scores'"),
        ("/x", "does not tell the form of requests"),
    ],
)
def test_wrong_options(server, tail, line):
    with pytest.raises(ParameterError, match=line):
        load_model(server.spec + tail)
    assert not server.requests


def test_a_password_in_the_address_is_refused():
    with pytest.raises(ParameterError, match="environment variable") as caught:
        load_model("https://ann:secret@host/infer")
    assert "secret@" not in str(caught.value)


@pytest.mark.long
def test_a_killed_audit_goes_on_without_a_repeated_query(server, pixels, tmp_path):
    server.spoil, server.after = (lambda answer: None), 20
    options = {"batch_size": 4, "device": "cpu", "workers": 1}
    with pytest.raises(UnshakenError, match="answers 500"):
        unshaken.audit(f"{server.spec}?retries=0&batch=4", data_of(pixels), plan=PLAN, out=tmp_path / "a", **options)
    assert 0 < len(server.images) <= 20
    server.spoil = None
    found = unshaken.audit(
        f"{server.spec}?retries=0&batch=4", data_of(pixels), plan=PLAN, out=tmp_path / "a", resume=True, **options
    )
    assert len(server.images) == len(set(server.images)) > 20
    total = found.summary["cost"]["forwards"]
    assert total >= len(server.images) - 1
    straight = unshaken.audit(f"{server.spec}?batch=7", data_of(pixels), plan=PLAN, out=tmp_path / "b", **options)
    assert len(server.images) == len(set(server.images)), "the same run anew asks nothing"
    assert 0 < found.summary["cost"]["asked"] < len(server.images), "the killed part asked too"
    assert straight.summary["cost"]["asked"] == 0
    page = (tmp_path / "b" / "report.md").read_text()
    assert f"0 sent to the model's address; {total} answers were kept ones" in page
    timed = ("seconds", "wall_seconds")
    one, two = (
        [{k: v for k, v in c.items() if k not in timed} for c in run.summary["conditions"]] for run in (straight, found)
    )
    assert one == two


@pytest.mark.long
def test_an_audit_that_is_killed_repeats_no_query(server, pixels, tmp_path, monkeypatch):
    cache = {"UNSHAKEN_CACHE": os.environ["UNSHAKEN_CACHE"]}
    images, labels = data_of(pixels)
    for i, label in enumerate(labels.tolist()):
        name = "abc"[i if i < 2 else label]  # a folder for each class
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i, 0].numpy()).save(tmp_path / "data" / name / f"{i}.png")
    (tmp_path / "plan.yaml").write_text(json.dumps(PLAN))
    data, spec = f"folder:{tmp_path}/data?mode=L", f"{server.spec}?batch=2&classes=positions"
    words = ["audit", "--model", spec, "--data", data]
    words += ["--plan", f"{tmp_path}/plan.yaml", "--out", f"{tmp_path}/run", "--batch-size", "4", "--device", "cpu"]
    held = threading.Event()
    server.spoil, server.after = (lambda answer: held.wait(60) and json.dumps(answer).encode()), 20
    with process(run_command, words, cache, printed=tmp_path / "killed.txt") as child:
        deadline = time.monotonic() + 60
        while len(server.sent) <= 20 and child.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)  # until the eleventh request is there, which gets no answer
        assert len(server.images) == 20, (tmp_path / "killed.txt").read_text()
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    assert child.exitcode == -signal.SIGKILL
    in_flight = server.sent[20:]
    assert len(in_flight) <= 2
    held.set()
    server.spoil = None
    with process(run_command, [*words, "--resume"], cache, printed=tmp_path / "resumed.txt") as child:
        child.join()
    assert child.exitcode == 0, (tmp_path / "resumed.txt").read_text()
    assert len(server.images) == len(set(server.images)) > 20, "no answer was asked for twice"
    assert sorted(server.sent) == sorted(server.images + in_flight), "of requests, the one without an answer alone"
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "other"))
    straight = unshaken.audit(spec, data, PLAN, out=tmp_path / "b", device="cpu")
    one, two = straight.run.rows("outcomes").to_pylist(), RunDir(tmp_path / "run").rows("outcomes").to_pylist()
    assert [(r["condition"], r["id"], r["prediction"]) for r in one] == [
        (r["condition"], r["id"], r["prediction"]) for r in two
    ]


def test_gradient_attacks_refuse_before_anything_is_asked(server, pixels):
    with pytest.raises(ParameterError, match=r"no gradients \(black box\): use methods that need logits or labels"):
        unshaken.attack(server.spec, data_of(pixels), method="pgd", norm="linf", eps=[0.1])
    assert not server.requests


def test_labels_alone(server, pixels, tmp_path):
    form = {"request": {"pixels": "$images"}, "scores": "labels", "output": "labels", "layout": "NHWC", "scale": 255}
    (tmp_path / "form.json").write_text(json.dumps(form))
    spec = f"{server.spec}?template={tmp_path}/form.json&classes=3"
    model = load_model(spec)
    with pytest.raises(ParameterError, match="labels only: use corruptions"):
        unshaken.attack(spec, data_of(pixels), method="square", norm="linf", eps=[0.1])
    with pytest.raises(ModelError, match="labels only"):
        unshaken.detect.fit(model, data_of(pixels), ["max-logit"])
    assert not server.requests
    with evaluating(model):
        assert torch.equal(model(pixels), torch.eye(3)[logits(pixels).argmax(1)])
    found = unshaken.attack(
        spec, data_of(pixels), method="hop-skip-jump:steps=2,initial_samples=5,max_samples=10", norm="l2", eps=[2.0]
    )
    assert "labels-only" in [flag["name"] for flag in found.summary["flags"]]
