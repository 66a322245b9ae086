"""Defaults and bounds of the parameters of explanations, finders of labels and evaluations.

They are what is run by a name alone: a change here is one of users' figures, and stands in the changelog.
"""

from __future__ import annotations

import pytest

from tests.defaults import described
from unshaken.core import list_methods

METHODS = {
    (room, m.name): m
    for room in ("explain", "labels", "tasks")
    for m in list_methods(room)
    if m.cls.__module__.startswith("unshaken.")
}
EXPECTED = {
    ("explain", "attention-rollout"): "heads=mean",
    ("explain", "background-reliance"): "masks=",
    ("explain", "cam"): "score=logit; layer=",
    ("explain", "centre-point"): "",
    ("explain", "concept-level"): "layers=[]; concepts=made; images=400 >0; quantile=0.995 >0 <1; least=0.04 >=0 <1",
    ("explain", "cue-conflict"): (
        "recipe=filled; categories=; tiles=4 >0; amplitude=0.062745098 >0 <=1; period=4 >2 <=1000"
    ),
    ("explain", "deletion"): "score=probability; substrate=model-mean; steps=0 >=0; corrected=False; lower is better",
    ("explain", "distortions"): (
        "distortions=['scramble-2', 'scramble-4', 'silhouette', 'contour', 'grey', "
        "'blur-1', 'noise-0.1', 'other-amplitude']; given="
    ),
    ("explain", "edge-detector"): "",
    ("explain", "expected-gradients"): (
        "score=logit; channels=sum; samples=50 >0; sigma=0 >=0; data=demo; pool=100 >0"
    ),
    ("explain", "filter-drift"): (
        "by=model; size=3 >=2 >0 <=31; depthwise=True; bins=70 >=2 >0 <=10000; measure=kl; sample=0 >=0; "
        "drop_sparse=False; basis=; resamples=100 >=20 >0 <=10000"
    ),
    ("explain", "filter-quality"): (
        "size=3 >=2 >0 <=31; depthwise=True; near_zero=0.01 >0; clean=False; sparse=0.5 >=0 <=1; low=0.5 >=0 <=10"
    ),
    ("explain", "frequency-bias"): "sigma=1.5 >0 <=100; radii=[2.0, 4.0, 8.0, 16.0]",
    ("explain", "gradcam"): "score=logit; layer=",
    ("explain", "gradcam-plus-plus"): "score=logit; layer=",
    ("explain", "gradient"): "score=logit; channels=mean-abs",
    ("explain", "gradient-attention"): "score=logit",
    ("explain", "gradient-shap"): "score=logit; channels=sum; samples=50 >0; sigma=0 >=0",
    ("explain", "guided-backprop"): "score=logit; channels=mean-abs",
    ("explain", "infidelity"): (
        "score=logit; substrate=model-mean; perturbation=square; side=0.2 >0 <=1; sigma=0.05 >0; "
        "samples=100 >0; scaled=True; lower is better"
    ),
    ("explain", "input-kinds"): "k=49 >=2 <=10000; layers=[]; judge=",
    ("explain", "input-x-gradient"): "score=logit; channels=sum",
    ("explain", "insertion"): "score=probability; substrate=blur; steps=0 >=0; corrected=False; higher is better",
    ("explain", "integrated-gradients"): "score=logit; channels=sum; steps=50 >0; baseline=black; rule=midpoint",
    ("explain", "intrinsic-dimension"): (
        "estimators=['mle', 'twonn']; k=20 >=2 >0 <=1000; divisor=k-1; most=5000 >0 <=100000; "
        "draws=50 >=2 >0 <=10000; per_class=False; layer="
    ),
    ("explain", "label-sharpness"): (
        "most=1000 >=2 >0 <=100000; quantile=0.999 >0 <=1; draws=100 >=2 >0 <=10000; layer="
    ),
    ("explain", "layercam"): "score=logit; layer=",
    ("explain", "lime"): (
        "score=probability; segmentation=slic; segments=50 >0; compactness=30 >0; sigma=3 >=0 <=100; "
        "samples=1000 >0; kernel=0.25 >0; ridge=1 >=0"
    ),
    ("explain", "mask-share"): "above=zero; higher is better",
    ("explain", "max-sensitivity"): "radius=0.02 >0; samples=10 >0; lower is better",
    ("explain", "meaningful-perturbation"): (
        "score=probability; steps=300 >0; lr=0.1 >0; cells=0 >=0 <=10000; blur=0.0446428571 >0 <=1; "
        "area=0.0001 >=0; tv=0.01 >=0; jitter=4 >=0"
    ),
    ("explain", "milan"): (
        "describer=concepts; layers=[]; strength=0.2 >=0 <=10; k=15 >=2 <=200; quantile=0.99 >0 <1; "
        "rank=max; mask_size=0 >=0; resolution=32; concepts=made; images=400 >0; scorer=; captioner=; "
        "encoder=; epochs=100 >0; beam=50 >=1 <=1000; length=15 >=1 <=50; annotations=; exemplars=; write=; "
        "ablate=0 >=0"
    ),
    ("explain", "netdissect"): (
        "layers=[]; concepts=made; images=400 >0; quantile=0.995 >0 <1; least=0.04 >=0 <1; k=5 >0; resolution=32"
    ),
    ("explain", "object-masks"): "map=gradcam; threshold=0.35 >0 <1; grabcut=False; out=",
    ("explain", "occlusion"): "score=probability; baseline=black; patch=0.2 >0 <=1; stride=0 >=0",
    ("explain", "pointing-game"): "tolerance=0 >=0; higher is better",
    ("explain", "random-map"): "",
    ("explain", "randomisation"): "similarity=spearman; stages=4 >=0; net=; lower is better",
    ("explain", "representation-dimension"): (
        "estimators=['twonn', 'mle']; k=20 >=2 >0 <=1000; divisor=k-1; most=2000 >0 <=100000; "
        "draws=50 >=2 >0 <=10000; layers=[]; chosen=6 >0 <=1000; form=pooled"
    ),
    ("explain", "rise"): "score=probability; baseline=black; samples=1000 >0; cells=7 >=2 <=1000; keep=0.5 >0 <=1",
    ("explain", "road"): "score=probability; order=combined; steps=9 >0; sigma=0.01 >=0; higher is better",
    ("explain", "scorecam"): "score=logit; layer=; baseline=black",
    ("explain", "sensitivity-n"): (
        "score=logit; substrate=model-mean; share=0.2 >0 <1; samples=100 >=3; higher is better"
    ),
    ("explain", "smoothgrad"): "score=logit; channels=mean-abs; samples=50 >0; sigma=0.15 >=0",
    ("explain", "smoothness"): "sigma=0.1 >0 <=1; layers=[]",
    ("explain", "tileability"): (
        "score=False; tiles=1 >0 <=8; side=0 >=0 <=4096; sharpness=0.25 >=0 <=1; ratio=1.5 >0"
    ),
    ("explain", "unit-edit"): "run=; annotations=; words=None; most=50 >0; draws=5 >=0",
    ("explain", "wsol"): (
        "threshold=0.2 >0 <1; iou=0.5 >=0 <1; clip=False; value=hit; convention=pixels; higher is better"
    ),
    ("labels", "aum"): "",
    ("labels", "confidence-weighted-entropy"): "",
    ("labels", "confident-learning"): "filter=prune-by-noise-rate; rank=normalized-margin; resolve=probability",
    ("labels", "early-learning"): "",
    ("labels", "knn-agreement"): "k=10 >0",
    ("labels", "linear-separation"): "clip=0.999 >0.5 <=1; threshold=0.95 >0 <1",
    ("labels", "normalized-margin"): "adjust=False; temperature=1 >0; calibrate=False",
    ("labels", "self-confidence"): "adjust=False",
    ("labels", "small-loss"): "clip=0.999 >0.5 <=1",
    ("tasks", "birds-eye"): (
        "labels=None; detections=None; classes=[]; overlap=0.5 >0 <=1; edges=[0, 5, 10, 15, 20]; sigma=1 >0"
    ),
    ("tasks", "data-drift"): (
        "reference=None; model=; alpha=0.05 >0 <1; permutations=999 >=99 <=1e+06; most=1000 >=20 <=10000"
    ),
    ("tasks", "data-health"): "checks=[]; against=[]; model=; run=",
    ("tasks", "few-shot"): (
        "ways=5 >=2; shots=[1, 5]; queries=15 >=1; episodes=600 >=1 <=100000; heads=['prototypes', 'knn']; "
        "layer=; k=5 >=1; query_data=; base=; steps=300 >=1; channels=64 >=8 multiple of 8; hidden=512 >=1"
    ),
    ("tasks", "frozen-features"): (
        "train=; share=0.5 >0 <1; layers=[]; pool=mean; classifiers=['svm', 'logistic']; c=None >0; "
        "k=20 >=1; retrieval=True; whiten=0 >=0; pixels=True"
    ),
    (
        "tasks",
        "natural-shift",
    ): "standard=; standard_accuracy=None >0 <1; set=; baselines=; leave_out=[]; group=; before=",
    ("tasks", "prediction-sets"): (
        "score=aps; coverage=0.9 >0 <1; by=all; random=True; penalty=0.01 >=0; free=5 >=0; calibration=; "
        "share=0.5 >0 <1; plan="
    ),
    ("tasks", "ranking"): (
        "collection=None; training=; rankers=['bm25', 'ql', 'encoder']; encoder=hashed-pieces; runs=[]; "
        "measure=nDCG@10; queries=['swap-1', 'swap-2']; documents=['append-1', 'append-3']; position=10 >=1"
    ),
    ("tasks", "text-dilution"): (
        "texts=None; dilutions=; words=; candidates=10 >=1 <=1000; wrong=4 >=1; position=end; "
        "encoder=hashed-pieces; relevance=; training=; training_texts=; steps=600 >=1"
    ),
    ("tasks", "zero-shot"): (
        "prompts=plain; classes=[]; plan=3dcc; hard=; cues=True; cue_data=; against=[]; fitting=; shifts=[]; "
        "captions=; photos=; design=; baseline="
    ),
}


@pytest.mark.parametrize(("room", "name"), EXPECTED, ids=[name for _, name in EXPECTED])  # no line for a new method
def test_defaults_and_bounds(room, name):
    method = METHODS[room, name]
    found = described(method)[:-1]
    if getattr(method.cls, "group", "") == "metric":
        found.append("higher is better" if method.cls.higher else "lower is better")
    assert "; ".join(found) == EXPECTED[room, name]
