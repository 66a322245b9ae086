"""A network of texts with two thousand weights that nobody trained, in a folder as transformers writes it."""

import torch

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ship", "old", "near", "##s", ".")


def make_bert(folder, masked=False):
    """Write the network and its tokenizer, and give the folder."""
    from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizerFast

    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=140, **sizes)
        (BertForMaskedLM if masked else BertModel)(config).save_pretrained(folder)
    return folder
