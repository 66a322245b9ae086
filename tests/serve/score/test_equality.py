"""Answers are the library's own, whatever other requests they are batched with."""

from __future__ import annotations

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from tests.loops import run_apart
from tests.serve.score.conftest import as_json, dyadic, noise, png
from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.data.arrays import InMemory
from unshaken.data.load import load_data
from unshaken.data.streaming import stream
from unshaken.measure import conformal_p_values
from unshaken.serve.score.batcher import Batcher
from unshaken.serve.score.calibration import calibrate
from unshaken.serve.score.options import QUICK, ScoreOptions
from unshaken.serve.score.scorer import Scorer, Work
from unshaken.stress.corruptions.gaussian_noise import GaussianNoise

TENSORS = {"content-type": "application/vnd.safetensors"}


def send(client, images, ids=None, query=""):
    body = save({"images": images}, metadata={"ids": json.dumps(ids)} if ids else None)
    answer = client.post(f"/v1/score{query}", content=body, headers=TENSORS)
    assert answer.status_code == 200, answer.text
    return answer.json()["answers"]


@pytest.fixture(scope="module")
def requests():
    """Images of 40 requests of 1 to 9 images."""
    sizes = np.random.default_rng(3).integers(1, 10, 40).tolist()
    return [dyadic(n, 100 + i) for i, n in enumerate(sizes)]


def test_answers_in_any_mixture_are_those_of_the_detector_set_exactly(scorer, detectors, requests):
    works = [Work(Batch(x, None, tuple(map(str, range(len(x))))), ScoreOptions()) for x in requests]
    mixtures = []

    def run(some):
        mixtures.append(len(some))
        return scorer.run(some)

    async def ask_all():
        batcher = Batcher(run, most=16, waiting=10_000)
        batcher.start()
        asked = [batcher.submit(w, images=len(w.batch), passes=len(w.batch), deadline=1e12) for w in works]
        found = await asyncio.gather(*asked)
        batcher.close()
        return found

    found = run_apart(ask_all())
    assert sum(mixtures) == 40
    assert max(mixtures) > 1
    for images, answers in zip(requests, found, strict=True):
        alone = {label: scores.score for label, scores in detectors.examine(images).items()}
        assert torch.equal(answers.logits, detectors.model(images))
        assert torch.equal(answers.predictions, predict(detectors.model(images)))
        assert torch.equal(answers.detected["max-logit"].scores, alone["max-logit"])
        torch.testing.assert_close(answers.detected["knn"].scores, alone["knn"], rtol=1e-5, atol=1e-5)
        for label, decided in detectors.decide(images, accept=0.9).items():
            assert torch.equal(answers.detected[label].accepted, decided)


def test_the_endpoint_gives_the_same_under_load(client, scorer, detectors, requests):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda images: send(client, images, query="?top=3"), requests[:12]))
    thresholds = {label: detectors.threshold(label, 0.9).value for label in detectors.detectors}
    for images, answers in zip(requests, found, strict=False):
        logits, scores = detectors.model(images), detectors.score(images)["max-logit"].tolist()
        assert [a["class"] for a in answers] == predict(logits).tolist()
        assert [a["detectors"]["max-logit"]["score"] for a in answers] == scores
        assert [a["detectors"]["max-logit"]["accepted"] for a in answers] == [
            s <= thresholds["max-logit"] for s in scores
        ]
        shares = logits.double().softmax(1)
        for answer, row in zip(answers, shares, strict=True):
            ranked = sorted(row.tolist(), reverse=True)
            assert [p["probability"] for p in answer["probabilities"]] == pytest.approx(ranked, rel=1e-12)
            assert answer["confidence"] == pytest.approx(ranked[0], rel=1e-12)


def test_p_values_and_the_joint_decision_follow_from_the_calibration_scores(client, detectors):
    images = dyadic(30, 7)
    answers, scores = send(client, images), detectors.score(images)
    joint = {label: detectors.threshold(label, 0.95).value for label in scores}  # two detectors share 10 %
    for label, values in scores.items():
        wanted = conformal_p_values(detectors.detectors[label].calibration.numpy(), values.numpy())
        assert [a["detectors"][label]["p_value"] for a in answers] == pytest.approx(wanted.tolist())
    rejected = sum(scores[label] > value for label, value in joint.items()).bool()
    assert [a["accepted"] for a in answers] == (~rejected).tolist()


def jpeg(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "JPEG", **options)
    return file.getvalue()


def test_files_are_decoded_as_those_of_a_data_set(client, model, tmp_path):
    """Colour, JPEG, one that lies on its side, grayscale of the model's own size; by each way in."""
    sideways = Image.Exif()
    sideways[0x0112] = 6
    files = [png(noise()), jpeg(noise(30, 20, 1)), jpeg(noise(9, 21, 2), exif=sideways), png(noise(8, 8, 3)[:, :, 0])]
    for place, data in enumerate(files):
        (tmp_path / f"{place}.{'png' if data[1:4] == b'PNG' else 'jpg'}").write_bytes(data)
    (batch,) = stream(load_data(f"folder:{tmp_path}"), view=model.view, workers=1)
    logits = model(batch.images).double().softmax(1)
    kinds = [{"content-type": f"image/{'png' if data[1:4] == b'PNG' else 'jpeg'}"} for data in files]
    ways = {
        "one by one": [
            client.post("/v1/score", content=data, headers=kind).json()["answers"][0]
            for data, kind in zip(files, kinds, strict=True)
        ],
        "JSON": client.post("/v1/score", json=as_json(*files)).json()["answers"],
        "form": client.post("/v1/score", files=[("file", data) for data in files]).json()["answers"],
    }
    for way, answers in ways.items():
        assert [a["class"] for a in answers] == logits.argmax(1).tolist(), way
        assert [a["confidence"] for a in answers] == pytest.approx(logits.amax(1).tolist(), rel=1e-5), way


def test_eight_bit_tensors_are_pixels(client):
    pixels = (dyadic(5, 9) * 255).round().to(torch.uint8)
    assert send(client, pixels) == send(client, pixels.float() / 255)


def test_a_certificate_is_that_of_the_library(client, scorer):
    images, ids = dyadic(6, 11), ["a", "b", "c", "d", "e", "f"]
    answers = send(client, images, ids, "?certify=100&sigma=0.5")
    oracle = Oracle(scorer.model)
    found = Smoothing(sigma=0.5, n0=10, n=90).certify(oracle, Batch(images, None, tuple(ids)))
    for answer, wanted in zip(answers, zip(found.prediction, found.abstained, found.radius, strict=True), strict=True):
        certificate = answer["certificate"]
        given = certificate["class"], certificate["abstained"], certificate["radius"]
        assert given == tuple(value.item() for value in wanted)
    assert any(a["certificate"]["radius"] > 0 for a in answers)


def test_images_of_the_same_id_in_one_batch_have_their_own_certificates(scorer):
    options = ScoreOptions(certify=40, perturb="gaussian_noise-3")
    requests = [dyadic(3, 7), dyadic(2, 9), dyadic(2, 10).flip(0)]
    works = [Work(Batch(images, None, ("0", "0", "1")[: len(images)]), options) for images in requests]
    together = scorer.run(works)
    for work, found in zip(works, together, strict=True):
        for row in range(len(work.batch)):
            alone = scorer.run([Work(work.batch[row : row + 1], options)])[0]
            for name in ("predictions", "abstained", "radius", "p_lower"):
                own, one = (getattr(a.certificates, name) for a in (found, alone))
                assert torch.equal(own[row : row + 1], one)
            assert torch.equal(found.perturbed[row : row + 1], alone.perturbed)
    assert len({float(p) for found in together for p in found.certificates.p_lower}) > 2


def test_perturbations_are_those_of_the_library(client, scorer):
    images, ids = dyadic(6, 12), ["a", "b", "c", "d", "e", "f"]
    answers = send(client, images, ids, "?perturb=gaussian_noise-5+contrast-5")
    batch = Batch(images, None, tuple(ids))
    noisy = predict(scorer.model(GaussianNoise().apply(batch, 5, 0).images)).tolist()
    for answer, under in zip(answers, noisy, strict=True):
        found = answer["perturbations"]
        assert found["tried"] == 2
        assert found["kept"] == 2 - len(found["changed"])
        assert found["changed"].get("gaussian_noise-5", answer["class"]) == under
    assert any(a["perturbations"]["changed"] for a in answers)


def test_quick_perturbations_are_the_named_ones(client):
    images = dyadic(2, 13)
    assert send(client, images, query="?perturb=quick") == send(client, images, query=f"?perturb={QUICK}")


def test_probabilities_are_calibrated_on_the_data_given(open_client, model):
    images = (dyadic(300, 14) * 255).round().to(torch.uint8)
    labels = torch.arange(300) % 3  # by chance right: the model is overconfident
    calibration = calibrate(model, InMemory(images, labels), limit=64)
    assert calibration.samples == 300
    assert calibration.temperature > 5
    answer = send(open_client(Scorer(model, calibration=calibration)), dyadic(1, 15))[0]
    wanted = (model(dyadic(1, 15)).double() / calibration.temperature).softmax(1).max().item()
    assert answer["confidence"] == pytest.approx(wanted)
    assert "accepted" not in answer  # there are no detectors


def test_prediction_sets_hold_the_promised_share(open_client, model):
    images = (dyadic(2000, 16) * 255).round().to(torch.uint8)
    values = model(images.float() / 255).double()
    labels = torch.multinomial((values / 8).softmax(1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
    found = calibrate(model, InMemory(images[:1000], labels[:1000]), limit=250, coverage=0.9)
    assert found.sets is not None
    assert (found.samples, found.sets.n, found.sets.k) == (500, 500, 451)  # ceil(501 * 0.9)
    scores = 1 - (values[:1000] / found.temperature).softmax(1)[torch.arange(1000), labels[:1000]]
    below = int((scores <= found.sets.value).sum())
    assert 820 < below < 980  # 451 of one half, and of the other half a binomial share
    share = found.in_sets(found.probabilities(values[1000:])).gather(1, labels[1000:, None]).double().mean()
    assert 0.85 < share < 0.95  # 0.9 with a deviation of 0.016 over both draws
    new = dyadic(6, 17)
    client = open_client(Scorer(model, calibration=found))
    for answer, row in zip(send(client, new), model(new).double(), strict=True):
        p = (row / found.temperature).softmax(0)
        wanted = [k for k in p.argsort(descending=True).tolist() if 1 - p[k] <= found.sets.value]
        assert [one["class"] for one in answer["prediction_set"]] == wanted
    promise = client.get("/v1/model").json()["prediction_sets"]
    assert "holds its class with probability 0.9 or more, over all calibrations of 500 images" in promise


def test_too_few_images_for_a_coverage(model):
    images, labels = (dyadic(60, 14) * 255).round().to(torch.uint8), torch.arange(60) % 3
    with pytest.raises(DataError, match=r"30 labelled samples in a half: a coverage of 0\.99 needs 99"):
        calibrate(model, InMemory(images, labels), coverage=0.99)
    with pytest.raises(DataError, match="15 labelled samples in a half: probabilities"):
        calibrate(model, InMemory(images[:30], labels[:30]), coverage=0.9)
    with pytest.raises(ParameterError, match=r"coverage=1 must lie inside \(0, 1\)"):
        calibrate(model, InMemory(images, labels), coverage=1)
