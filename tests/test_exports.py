"""The public names, pinned: adding one is a decision that this list shows."""

import importlib

import pytest

EXPORTS = {
    "unshaken": "Audit UnshakenError __version__ attack audit certify compare corrupt detect explain fool harden "
    "list_methods load_data load_model merge",
    "unshaken.core": "Answer Batch Classifier Features Gradient Labels Logits Method Oracle Outcome Parameters Query "
    "SampleRng Search Slopes State UnshakenError View Votes allow_code drive list_methods register",
    "unshaken.data": "BadSample DataSource Dataset as_dataset from_arrays load_data stream subset",
    "unshaken.run": "Condition Context Entry Flag Interrupted Job PLANS Part RunConfig RunDir execute load_plan "
    "read_config run_shard",
    "unshaken.report": "Comparisons ConditionComparison Gate GateResult RunComparison Summary build check_gates "
    "compare_runs schema write_comparison write_report",
    "unshaken.attack": "APGD Ascent Auto AutoAttack CarliniWagner Cppn DAG DeepFool DetectionPGD DetectionPatch "
    "Direct FAB FGSM GMVFool HopSkipJump JSMA MIFGSM NaTra NaturalViews ObjectFabrication ObjectMislabeling "
    "ObjectVanishing OracleBound PGD Patch PatchFool PixelPGD RandomViews SPSA Spatial Square Substitution Transfer "
    "UniversalPatch ViewFool",
    "unshaken.certify": "AdaptiveSmoothing AdaptiveSmoothingAttack CROWN CropSelection DualSmoothing "
    "DualSmoothingAttack IBP SMT SequentialSmoothing Smoothing SmoothingAttack",
    "unshaken.detect": "ASH DCTWatermarkDetector DICE Detector DetectorSet Energy EnsembleDisagreement Entropy "
    "Evasion ExportResult FeatureSqueezing Fit Fusion GEN GradNorm Gram KLMatching KNN LID Latency "
    "LearnedWatermarkDetector MCDropout MCM MSP Mahalanobis MaxLogit NudeNet ODIN OpenNSFW PolicyHeads RIGID ReAct "
    "RelativeMahalanobis SCALE SHE Screening Shares SpreadSpectrumWatermark TemperatureScaling ViM export fit guard "
    "latency",
    "unshaken.explain": "Analysis AttentionRollout Attribution AttributionResult BackgroundReliance CAM Case "
    "CentrePoint ConceptLevel CueConflict Deletion Distortions EdgeDetector ExpectedGradients FilterDrift "
    "FilterQuality Findings FrequencyBias GradCAM GradCAMPlusPlus Gradient GradientAttention GradientShap "
    "GuidedBackprop Infidelity InputKinds InputXGradient Insertion IntegratedGradients IntrinsicDimension LIME "
    "LabelSharpness LayerCAM MILAN MapMetric MapScores MapValues MaskShare MaxSensitivity MeaningfulPerturbation "
    "NetDissect ObjectMasks Occlusion PointingGame RISE ROAD RandomMap Randomisation RepresentationDimension ScoreCAM "
    "SensitivityN SmoothGrad Smoothness Subject Tileability UnitEditing WSOL attribute compare_methods compare_models "
    "make_case map_agreement summarise",
    "unshaken.generate": "ClassGaussianSettings DDPM DDPMSettings EDM EDMSettings Fitting UNet UNetSettings "
    "VAESettings karras_grid load load_generator save",
    "unshaken.harden": "ADELE ADL ADP AWP AdvProp AdversarialTraining AugMix BalancedSampling ClassBalanced "
    "CoTeaching Consistency Corruptions CropFlip CrossMax CutMix Denoise DiceLoss Distillation DivideMix Dverge ELR "
    "ELRPlus EMA EnsembleAT FgsmRs FreeAT FrequencyPrompt GAL GCE GaussianAugmented GradAlign HalfNoise "
    "InputTransform KnowledgeDistillation LayerHeadsRecipe Mart MaskedAutoencoding MixingNetwork Mixture Mixup MoCo "
    "MultiResolution NFgsm NaTraTraining Noise Noise2Net NoiseSelfRegression NormalisedSoftmax PLS PLSLSA PLSLSAPlus "
    "PixMix Proximal Purify RCAL RepresentationConsistency RepresentationTuning SCE SimCLR SmallLossSelection "
    "SmoothAdv SwAV TAP Temperature TestTimeAugmentation ThreeHeads TrAct Trades Triplet VIAT WorstClass",
    "unshaken.labels": "AUM ConfidenceWeightedEntropy ConfidentLearning EarlyLearning Evidence Finder ImageBoxes "
    "KNNAgreement LabelScores LinearSeparation NormalizedMargin Probabilities SelfConfidence SmallLoss find_boxes "
    "find_masks find_multi_label",
    "unshaken.tasks.image_text": "BASELINES AppendText ChangeBoth ChangeImage ClassCaptionVectors Dilution Floors "
    "FusionClassifier FusionHead FusionTraining ImageFeatureMemory ImageTextReport ImageTextSet "
    "InsertionWriter MaskedModel MatchScore Material ModelWriter PerturbText Relevance "
    "TemplateWriter TopicModel describe_pictures evaluate filler fit_fusion gather_material "
    "image_keywords keywords mislead_loss nearest_texts read_samples soft_words table_lines "
    "tag_keywords text_keywords write_repeats write_urls written_by",
    "unshaken.tasks.ranking": "BM25 Changes Collection DenseRanker EncoderMemory HashedPieces KNRM LambdaMART "
    "QueryLikelihood RankSVM Ranking RankingReport RankingTest ScoreFunction "
    "SentenceEncoder TwoTower as_collection attack_queries evaluate image_vectors load_encoder "
    "measure_queries perturb rank_images read_collection read_qrels "
    "read_report read_run read_wordnet same_class sort_by_score table_lines "
    "write_run",
    "unshaken.stress": "BackgroundAdversarial BackgroundBlur BackgroundComplexity BackgroundGrey BackgroundMirror "
    "BackgroundNoise BackgroundRandom BitError BlueNoiseSample Brightness BrownishNoise Cartoon CausticRefraction "
    "CheckerboardCutout CircularMotionBlur CocentricSineWaves ColorQuant Contour Contrast CyclicTranslation "
    "DefocusBlur ElasticTransform FarFocus Flash Fog Fog3D Frost GaussianBlur GaussianNoise GlassBlur H265ABR H265CRF "
    "Handmake ImpulseNoise InverseSparkles IsoNoise JpegCompression Lines LowLight MotionBlur NearFocus "
    "ObjectDirection ObjectPosition ObjectSize Overexposure Painting PatchCorruption PerlinNoise PhaseNoise "
    "PinchAndTwirl Pixelate PlasmaNoise Ripple Saturate Scramble ShotNoise Silhouette SingleFrequencyGreyscale Sketch "
    "Snow Sparkles Spatter SpeckleNoise Tattoo Translation TransverseChromaticAbberation Underexposure Untile Weather "
    "XyMotionBlur ZMotionBlur ZoomBlur",
}


@pytest.mark.parametrize("room", EXPORTS)
def test_public_names_are_those_pinned_here(room):
    module = importlib.import_module(room)
    assert sorted(module.__all__) == sorted(EXPORTS[room].split())
    assert all(hasattr(module, name) for name in module.__all__)


def test_a_room_is_called_as_its_verb(tmp_path):
    import unshaken

    result = unshaken.attack("demo:standard", "demo", "fgsm", eps="8/255", limit=10, out=tmp_path / "run")
    assert result.summary["conditions"][0]["method"] == "fgsm"


@pytest.mark.parametrize(("old", "new"), [("Door", "DetectorSet"), ("Exported", "ExportResult")])
def test_a_former_name_still_works_and_warns(old, new):
    from unshaken import detect

    with pytest.warns(DeprecationWarning, match=f"unshaken.detect.{old} is now unshaken.detect.{new}"):
        assert getattr(detect, old) is getattr(detect, new)
    assert old not in detect.__all__
