"""The public names, as type checkers and editors see them; generated."""

from jaxmem.mixers.additive_attention import AdditiveAttention as AdditiveAttention
from jaxmem.mixers.attention import Attention as Attention
from jaxmem.mixers.bigbird import BigBird as BigBird
from jaxmem.mixers.cross_attention import CrossAttention as CrossAttention
from jaxmem.mixers.delta_net import DeltaNet as DeltaNet
from jaxmem.mixers.encoder_attention import EncoderAttention as EncoderAttention
from jaxmem.mixers.forgetting_attention import (
  ForgettingAttention as ForgettingAttention,
)
from jaxmem.mixers.gated_delta import GatedDelta as GatedDelta
from jaxmem.mixers.gated_delta_product import GatedDeltaProduct as GatedDeltaProduct
from jaxmem.mixers.gla import GLA as GLA
from jaxmem.mixers.gru import GRU as GRU
from jaxmem.mixers.hgrn import HGRN as HGRN
from jaxmem.mixers.hgrn2 import HGRN2 as HGRN2
from jaxmem.mixers.kda import KDA as KDA
from jaxmem.mixers.linear_attention import LinearAttention as LinearAttention
from jaxmem.mixers.longformer import Longformer as Longformer
from jaxmem.mixers.lru import LRU as LRU
from jaxmem.mixers.lstm import LSTM as LSTM
from jaxmem.mixers.mamba import Mamba as Mamba
from jaxmem.mixers.mamba2 import Mamba2 as Mamba2
from jaxmem.mixers.mingru import MinGRU as MinGRU
from jaxmem.mixers.minlstm import MinLSTM as MinLSTM
from jaxmem.mixers.mlstm import MLSTM as MLSTM
from jaxmem.mixers.retention import Retention as Retention
from jaxmem.mixers.rglru import RGLRU as RGLRU
from jaxmem.mixers.rnn import RNN as RNN
from jaxmem.mixers.rwkv6 import RWKV6 as RWKV6
from jaxmem.mixers.rwkv7 import RWKV7 as RWKV7
from jaxmem.mixers.s5 import S5 as S5
from jaxmem.mixers.slstm import SLSTM as SLSTM
from jaxmem.mixers.transformer_xl import TransformerXL as TransformerXL
from jaxmem.mixers.window import Window as Window
