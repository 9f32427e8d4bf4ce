"""An entry of every mixer, and every model, all of them tiny."""

from jaxmem import mixers
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.models.vae import VAE, VAEConfig
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tasks.masked_lm.model import MaskedLM
from jaxmem.tasks.question_answering.model import SpanReader
from jaxmem.tasks.retrieval.model import TextEmbedder
from jaxmem.testing import example_of

# Entries of a pattern: every mixer by its name, and settings with code of their own.
ENTRIES = {name: entry(name, **example_of(name)) for name in mixers.names()} | {
  "s4d": entry("s5", mimo=False),
  "bilinear": entry("s5", discretisation="bilinear"),
  "learned start": entry("s5", learned_start=True),
  "beside": entry("gru", beside="lru"),
  "both ways": entry("lru", both_ways=True),
  "longformer both ways": entry("longformer", num_heads=2, causal=False),
  "buckets": entry("attention", num_heads=2, bias="buckets", learned_sink=True),
  "peepholes": entry("lstm", peepholes=True, layer_norm=True),
}

RNN = (entry("rnn"),)
CARRIED = dict(window=16, between=RNN)


def _encoder(**changes) -> EncoderConfig:
  return EncoderConfig(11, d_model=8, pattern=RNN, positions=64, types=2, **changes)


MODELS = {
  "lm": LM(LMConfig(11, d_model=8, pattern=RNN, tied=False, num_groups=2)),
  "masked": MaskedLM(_encoder()),
  "labels": Classifier(_encoder(**CARRIED), classes=2),
  "spans": SpanReader(_encoder(block="post")),
  "embedding": TextEmbedder(_encoder(**CARRIED)),
  "vae": VAE(VAEConfig(11, d_model=8, pattern=RNN, encoder=RNN)),
  "encoder_decoder": EncoderDecoder(
    EncoderDecoderConfig(
      11,
      d_model=8,
      pattern=(entry("additive_attention"),),
      encoder=RNN,
      memory_size=32,
    )
  ),
  "forecaster": Forecaster(
    ForecasterConfig(d_model=8, pattern=RNN, horizon=4, patch=8)
  ),
  "dlinear": Forecaster(ForecasterConfig(backbone="dlinear", horizon=4, patch=8)),
}
