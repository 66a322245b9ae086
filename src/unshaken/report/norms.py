"""`LAYOUTS`: what files on a model ask of its measurements, by the law, framework or standard, as plain data.

Subjects are told in the words of this package; whoever needs the wording reads the source that is named.
"""

from __future__ import annotations

from dataclasses import dataclass

AUDIT = "unshaken audit --model MODEL --data DATA"


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a file asks, and which figures answer it.

    Args:
        text: the question.
        figures: kinds of figures that answer it, keys of `unshaken.report.pages.norms.FIGURES`.
        command: that measures them.
    """

    text: str
    figures: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True)
class Part:
    """Questions on one subject.

    Args:
        title: of the subject.
        where: the place in the source, with its subject.
        questions: in order.
    """

    title: str
    where: str
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What one kind of file asks.

    Args:
        title: of the page.
        sources: the documents that its subjects are taken from, each with its date.
        parts: with the questions that figures of runs can answer.
        outside: subjects that no command measures, each with its place in the source.
    """

    title: str
    sources: tuple[str, ...]
    parts: tuple[Part, ...]
    outside: tuple[tuple[str, str], ...]


ACCURACY = Question("How accurate is the model on unchanged images?", ("accuracy",), AUDIT)
CONFIDENCE = Question("Do its confidences agree with its accuracy?", ("calibration",), AUDIT)
THRESHOLDS = Question(
    "Which levels were required of it, and were they met?",
    ("gates",),
    "unshaken audit --model MODEL --data DATA --gate 'clean.accuracy >= SHARE'",
)
GROUPS = Question(
    "For which classes and kinds of images is it less accurate?", ("classes", "slices"), "unshaken slices RUN"
)
CORRUPTIONS = Question(
    "What do noise, blur, weather and other natural changes cost?", ("natural",), f"{AUDIT} --plan corruptions"
)
FAULTS = Question(
    "How many inputs could not be read, or gave no finite output?", ("faults",), f"{AUDIT} --plan corruptions"
)
ATTACKS = Question(
    "How accurate is it under attack, within which budget of the attacker?",
    ("attacks", "distances"),
    "unshaken attack --model MODEL --data DATA --method auto --eps 8/255",
)
TARGETED = Question(
    "How often can an attacker choose the class that is predicted?",
    ("targeted",),
    "unshaken attack --model MODEL --data DATA --method pgd --target least-likely",
)
CERTIFICATES = Question(
    "Which share of its predictions is proven not to change, and within which radius?",
    ("certificates",),
    "unshaken certify --model MODEL --data DATA --radius R",
)
SCREENING = Question(
    "Which inputs does its screening accept and reject?",
    ("screening",),
    "unshaken detect fit and unshaken detect score",
)
DRIFT = Question(
    "Does the data that it meets differ from the data that it was evaluated on?",
    ("drift",),
    "unshaken drift --reference REFERENCE --data DATA",
)
DOUBTS = Question("Which reasons are there to doubt the figures?", ("doubts",), AUDIT)
COST = Question("What did the tests cost?", ("cost",), AUDIT)

LAYOUTS = {
    "ai-act": Layout(
        "Measurements for a technical file: EU AI Act, Article 15 and Annex IV",
        (
            "Regulation (EU) 2024/1689 of 13 June 2024 (Artificial Intelligence Act), Article 15 and Annex IV; "
            "Official Journal of the European Union, L series, 12 July 2024, http://data.europa.eu/eli/reg/2024/1689/oj",
        ),
        (
            Part(
                "Declared accuracy",
                "Article 15(1) and (3): levels of accuracy and their metrics. Annex IV, points 2(g), 3 and 4: tests "
                "and their metrics, accuracy for groups, and why the metrics suit the system.",
                (ACCURACY, CONFIDENCE, THRESHOLDS, GROUPS),
            ),
            Part(
                "Resilience to errors and faults",
                "Article 15(4): errors, faults and inconsistencies of the system or of its environment.",
                (CORRUPTIONS, FAULTS, SCREENING),
            ),
            Part(
                "Adversarial robustness",
                "Article 15(5): inputs made to mislead the model (adversarial examples, model evasion). Annex IV, "
                "point 2(h): measures of cybersecurity.",
                (ATTACKS, TARGETED, CERTIFICATES),
            ),
            Part(
                "Consistent performance and drift",
                "Article 15(1): consistent performance throughout the life cycle. Annex IV, point 9: how performance "
                "is followed after the system is on the market.",
                (DRIFT,),
            ),
            Part(
                "Limits of these figures",
                "Annex IV, points 2(c) and 3: computing resources for tests; known limits of performance.",
                (DOUBTS, COST),
            ),
        ),
        (
            ("Poisoning of training data and of pre-trained components", "Article 15(5)"),
            (
                "Extraction of the model, inference of its training data and other attacks on confidentiality",
                "Article 15(5)",
            ),
            ("Privacy of the persons in the data", "Article 10(5)"),
            ("Feedback loops of systems that go on learning", "Article 15(4)"),
            ("Redundancy and fail-safe plans of the whole system", "Article 15(4)"),
            ("Risk management, human oversight, record keeping", "Articles 9, 12 and 14"),
        ),
    ),
    "nist": Layout(
        "Measurements for a file: NIST AI Risk Management Framework",
        (
            "NIST AI 100-1, Artificial Intelligence Risk Management Framework (AI RMF 1.0), January 2023, "
            "https://doi.org/10.6028/NIST.AI.100-1",
            "NIST AI 100-2 E2025, Adversarial Machine Learning: A Taxonomy and Terminology of Attacks and Mitigations, "
            "March 2025, https://doi.org/10.6028/NIST.AI.100-2e2025",
        ),
        (
            Part(
                "Valid and reliable",
                "AI RMF 1.0, MEASURE 2.3 and 2.5: performance under conditions like those of use; limits of "
                "generalisation.",
                (ACCURACY, CONFIDENCE, THRESHOLDS, CORRUPTIONS),
            ),
            Part(
                "Safe",
                "AI RMF 1.0, MEASURE 2.6: failures, and what happens beyond the limits of knowledge.",
                (FAULTS, SCREENING),
            ),
            Part(
                "Secure and resilient: evasion attacks",
                "AI RMF 1.0, MEASURE 2.7: security and resilience. AI 100-2 E2025, predictive AI: evasion attacks and "
                "their mitigations, formal verification and randomised smoothing among them.",
                (ATTACKS, TARGETED, CERTIFICATES),
            ),
            Part("Differences between groups", "AI RMF 1.0, MEASURE 2.11: fairness and bias.", (GROUPS,)),
            Part("In operation", "AI RMF 1.0, MEASURE 2.4: behaviour followed in production.", (DRIFT,)),
            Part(
                "Limits of these figures",
                "AI RMF 1.0, MEASURE 2.1, 2.12 and 2.13: test sets, metrics and tools; environmental impact; how well "
                "the measurements themselves work.",
                (DOUBTS, COST),
            ),
        ),
        (
            ("Poisoning attacks, backdoors included", "AI 100-2 E2025, predictive AI"),
            (
                "Privacy attacks: data reconstruction, membership and property inference, model extraction",
                "AI 100-2 E2025, predictive AI; AI RMF 1.0, MEASURE 2.10",
            ),
            ("Attacks on generative models", "AI 100-2 E2025, generative AI"),
            ("Governing, mapping and managing of risks", "AI RMF 1.0, GOVERN, MAP and MANAGE"),
        ),
    ),
    "iso-24029": Layout(
        "Measurements for a file: robustness of neural networks, ISO/IEC 24029",
        (
            "ISO/IEC TR 24029-1:2021, Artificial Intelligence (AI): Assessment of the robustness of neural networks, "
            "Part 1: Overview, 2021",
            "ISO/IEC 24029-2:2023, Artificial intelligence (AI): Assessment of the robustness of neural networks, "
            "Part 2: Methodology for the use of formal methods, 2023",
        ),
        (
            Part(
                "Statistical methods",
                "ISO/IEC TR 24029-1:2021, on statistical methods: metrics of performance on test data.",
                (ACCURACY, CONFIDENCE, GROUPS, THRESHOLDS),
            ),
            Part(
                "Empirical methods",
                "ISO/IEC TR 24029-1:2021, on empirical methods: trials in the field, tests and benchmarks with changed "
                "inputs.",
                (CORRUPTIONS, FAULTS, ATTACKS, TARGETED),
            ),
            Part(
                "Formal methods",
                "ISO/IEC TR 24029-1:2021, on formal methods; ISO/IEC 24029-2:2023, on stability over a domain around "
                "each input.",
                (CERTIFICATES,),
            ),
            Part(
                "In operation",
                "ISO/IEC 24029-2:2023, on robustness during the life cycle: whether inputs stay within the domain that "
                "was assessed.",
                (DRIFT, SCREENING),
            ),
            Part(
                "Limits of these figures",
                "ISO/IEC TR 24029-1:2021, on the steps of an assessment: goals, plan, tests, analysis.",
                (DOUBTS, COST),
            ),
        ),
        (
            ("Sensitivity, relevance and reachability as formal properties", "ISO/IEC 24029-2:2023"),
            ("Poisoning of training data", "outside both parts"),
            ("Extraction of the model, and privacy of the training data", "outside both parts"),
            ("Field trials with the whole system", "ISO/IEC TR 24029-1:2021, on empirical methods"),
        ),
    ),
}
"""By the value of `unshaken report --for`."""
