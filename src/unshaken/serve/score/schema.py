"""The form of an answer, as OpenAPI tells it to programs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ClassProbability(BaseModel):
    """A class and its probability."""

    class_: int = Field(alias="class", description="number of the class, from 0")
    name: str = Field(description="name of the class; its number where the model has no names")
    probability: float = Field(ge=0, le=1, description="calibrated, where the server was given data to calibrate on")


class DetectorAnswer(BaseModel):
    """Answer of one detector for an image."""

    score: float | None = Field(description="higher is more abnormal; null where the model's values are not finite")
    threshold: float = Field(description="the largest score that this detector alone accepts")
    accepted: bool = Field(description="whether the score is at most the threshold")
    p_value: float = Field(ge=0, le=1, description="for a normal image at most u with a probability of u")


class CertificateAnswer(BaseModel):
    """A certificate of the smoothed classifier, which gives the class that most noisy copies are given."""

    class_: int = Field(alias="class", description="the certified class; -1 where the output was not finite")
    name: str = Field(description="its name")
    abstained: bool = Field(description="nothing is certified")
    radius: float = Field(
        ge=0, description="no change of at most this l2 size, in [0, 1] pixel units, alters the class"
    )
    p_lower: float = Field(description="lower bound of the probability of the class under the noise")
    sigma: float = Field(description="deviation of the noise")
    copies: int = Field(description="number of noisy copies")
    alpha: float = Field(description="probability that the certificate is wrong")


class PerturbationAnswer(BaseModel):
    """Whether small perturbations change the class."""

    kept: int = Field(description="number of perturbations under which the class stays the same")
    tried: int = Field(description="number of perturbations")
    changed: dict[str, int] = Field(description="the others, with the class that the model gives instead")


class ImageAnswer(BaseModel):
    """The answer for one image."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(description="name that the request gave, or its place")
    error: str | None = Field(default=None, description="why the image could not be scored; all else is absent then")
    class_: int | None = Field(default=None, alias="class", description="the predicted class, from 0")
    name: str | None = Field(default=None, description="its name")
    confidence: float | None = Field(default=None, description="its calibrated probability")
    probabilities: list[ClassProbability] | None = Field(
        default=None, description="of the most probable classes, in order"
    )
    prediction_set: list[ClassProbability] | None = Field(
        default=None,
        description="the classes that cannot be ruled out, the most probable first: they hold the true one with the "
        "promised coverage; empty where no class fits; null where the server promises none",
    )
    accepted: bool | None = Field(
        default=None,
        description="no detector rejects the image, at thresholds that together reject at most the promised share of "
        "normal images; null where the server has no detectors",
    )
    detectors: dict[str, DetectorAnswer] | None = None
    certificate: CertificateAnswer | None = None
    perturbations: PerturbationAnswer | None = None


class ScoreAnswer(BaseModel):
    """The answer for a request."""

    model: str = Field(description="name of the model")
    false_alarms: float | None = Field(description="promised share of normal images that are not accepted, at most")
    temperature: float = Field(description="by which logits are divided before the softmax")
    coverage: float | None = Field(
        default=None, description="promised share of prediction sets that hold the class, at least; null for no sets"
    )
    answers: list[ImageAnswer] = Field(description="one for each image, in order")


class ModelAnswer(BaseModel):
    """Description of the service."""

    model: str
    classes: list[str] = Field(description="names in order; empty where the model has none")
    view: str = Field(description="how photos are cut for the model")
    shape: list[int] = Field(description="of an image sent as a tensor: channels, height, width")
    temperature: float
    calibrated_on: str = Field(description="data of the temperature; empty for none")
    calibration_samples: int
    prediction_sets: str | None = Field(default=None, description="the promise of prediction sets; null for no sets")
    detectors: dict[str, str] = Field(description="the promise of each detector's threshold")
    false_alarms: float | None
    limits: dict[str, float | None]


class Problem(BaseModel):
    """Error of a request (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class HealthAnswer(BaseModel):
    """Health or readiness."""

    status: str
