"""Nonlinear cells against torch, keras and xlstm."""

import importlib
import os

from jaxmem.mixers.lstm import LSTM
from jaxmem.models.wrappers.bidirectional import Bidirectional
from jaxmem.ops import gru, lstm, rnn, slstm

from .harness import RESET, Case, by_document, ours, shapes

os.environ.setdefault("KERAS_BACKEND", "torch")  # keras reads it when it is imported
D, H = 5, 6


def _torch_rnn(kind, **options):
  """Runs torch's layer; its biases, but those of a GRU's n, are sums of two."""

  def load():
    torch = importlib.import_module("torch")
    module = getattr(torch.nn, kind)(D, H, batch_first=True, **options)

    def run(params, inputs, state):
      w, r, b, *read = params
      other = torch.zeros_like(b)
      if read:
        other = torch.cat([other[: 2 * H], read[0]])
      names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
      named = dict(zip(names, (w.T, r.T, b, other), strict=True))
      initial = tuple(s[None] for s in state[::-1])  # torch's LSTM has h before c
      initial = initial if len(initial) > 1 else initial[0]
      y, last = torch.func.functional_call(module, named, (inputs[0], initial))
      last = last if isinstance(last, tuple) else (last,)
      return y, tuple(s[0] for s in last[::-1])

    return by_document(run)

  return load


def _keras_gru():
  """Resets before the product, as in the paper; gates are in the order z r n."""
  keras = importlib.import_module("keras")
  torch = importlib.import_module("torch")
  layer = keras.layers.GRU(
    H, reset_after=False, return_sequences=True, return_state=True
  )
  layer.build((None, None, D))

  def run(params, inputs, state):
    def order(a):
      return torch.cat([a[..., H : 2 * H], a[..., :H], a[..., 2 * H :]], -1)

    variables = [order(a) for a in params]
    (y, last), _ = layer.stateless_call(
      variables, layer.non_trainable_variables, inputs[0], initial_state=state[0]
    )
    return y, (last,)

  return by_document(run)


def _xlstm_slstm():
  """Runs the released cell; its states are h c n m, its kernel [H, 4 P_out, P_in]."""
  cell = importlib.import_module("xlstm.blocks.slstm.cell")
  torch = importlib.import_module("torch")
  module = cell.sLSTMCell(
    cell.sLSTMCellConfig(
      hidden_size=H,
      num_heads=2,
      backend="vanilla",
      dtype="float32",
      enable_automatic_mixed_precision=False,
    )
  )

  def run(params, inputs, state):
    (r,), (c, n, m, h) = params, state
    kernel = r.permute(1, 0, 3, 2).reshape(2, 2 * H, H // 2)
    named = {"_recurrent_kernel_": kernel, "_bias_": torch.zeros(4 * H)}
    x = torch.cat(inputs, dim=-1)
    y, last = torch.func.functional_call(module, named, (x, torch.stack([h, c, n, m])))
    h, c, n, m = last
    return y.transpose(1, 2).flatten(2), (c, n, m, h)

  return by_document(run)


def _slstm_legal(params, inputs, state):
  c, n, m, h = state
  return params, inputs, (c, 1 + n * n, m, h)


def _loop(peepholes, layer_norm):
  """Runs an LSTM written in torch, token by token in float64."""

  def load():
    torch = importlib.import_module("torch")

    def norm(x, gain):
      return torch.nn.functional.layer_norm(x, x.shape[-1:], gain)

    def run(params, inputs, state):
      params, (x,), (c, h) = (
        [a.double() for a in tree] for tree in (params, inputs, state)
      )
      w, r, b = params[:3]
      p = params[3] if peepholes else torch.zeros(3, H).double()
      gains = params[-3:]
      ys = []
      for t in range(x.shape[1]):
        of_x, of_h = x[:, t] @ w, h @ r
        if layer_norm:
          of_x, of_h = norm(of_x, gains[0]), norm(of_h, gains[1])
        i, f, g, o = (of_x + of_h + b).chunk(4, dim=-1)
        c_new = torch.sigmoid(f + p[1] * c) * c + torch.sigmoid(i + p[0] * c) * g.tanh()
        c = c_new
        normed = norm(c, gains[2]) if layer_norm else c
        h = torch.sigmoid(o + p[2] * c) * normed.tanh()
        ys.append(h)
      return torch.stack(ys, dim=1).float(), (c.float(), h.float())

    return by_document(run)

  return load


def _torch_bidirectional():
  torch = importlib.import_module("torch")
  module = torch.nn.LSTM(H, H, batch_first=True, bidirectional=True)

  def run(params, inputs, state):
    named = {}
    for i, suffix in enumerate(("", "_reverse")):
      w, r, b = params[3 * i : 3 * i + 3]
      both = {"weight_ih": w.T, "weight_hh": r.T, "bias_ih": b}
      both["bias_hh"] = torch.zeros_like(b)
      named |= {f"{key}_l0{suffix}": value for key, value in both.items()}
    y, _ = torch.func.functional_call(module, named, (inputs[0],))
    return y @ params[6], ()

  return by_document(run)


def _bidirectional_ours(form):
  layer = Bidirectional(LSTM(d_model=H, form=form, parent=None))

  def run(params, inputs, state):
    names = ("input", "recurrent", "bias")
    tree = {
      "forward": dict(zip(names, params[:3], strict=True)),
      "backward": dict(zip(names, params[3:6], strict=True)),
      "out": {"kernel": params[6]},
    }
    return layer.apply({"params": tree}, inputs[0], (), RESET)

  return run


def _case(
  op, peer, module, case_shapes, theirs, prepare=lambda *trees: trees, **options
):
  forms = {form: ours(op, form, **options) for form in op.FORMS}
  forms["chunk of 8"] = ours(op, "chunk", chunk_size=8, **options)
  name = op.__name__.rpartition(".")[2]
  return Case(name, peer, module, case_shapes, forms, theirs, prepare)


def _weights(gates, *extra):
  return (D, gates * H), (H, gates * H), (gates * H,), *extra


def _sizes(weights, count=1):
  return shapes(weights, ((D,),), ((H,),) * count)


PEEPHOLES, GAINS = (3, H), ((4 * H,), (4 * H,), (H,))
LSTM_SHAPE = ((H, 4 * H), (H, 4 * H), (4 * H,))
CASES = [
  _case(lstm, "torch nn.LSTM", "torch", _sizes(_weights(4), 2), _torch_rnn("LSTM")),
  _case(
    lstm,
    "torch loop, peepholes",
    "torch",
    _sizes(_weights(4, PEEPHOLES), 2),
    _loop(True, False),
    peepholes=True,
  ),
  _case(
    lstm,
    "torch loop, layer norm",
    "torch",
    _sizes(_weights(4, PEEPHOLES, *GAINS), 2),
    _loop(True, True),
    peepholes=True,
    layer_norm=True,
  ),
  _case(gru, "torch nn.GRU", "torch", _sizes(_weights(3, (H,))), _torch_rnn("GRU")),
  _case(
    gru,
    "keras GRU, reset before",
    "keras",
    _sizes(_weights(3)),
    _keras_gru,
    reset_after=False,
  ),
  *(
    _case(
      rnn,
      f"torch nn.RNN, {f}",
      "torch",
      _sizes(_weights(1)),
      _torch_rnn("RNN", nonlinearity=f),
      activation=f,
    )
    for f in rnn.ACTIVATIONS
  ),
  _case(
    slstm,
    "xlstm sLSTMCell, vanilla",
    "xlstm",
    shapes(((4, 2, H // 2, H // 2),), ((H,),) * 4, ((H,),) * 4),
    _xlstm_slstm,
    _slstm_legal,
  ),
  Case(
    "bidirectional",
    "torch nn.LSTM, bidirectional",
    "torch",
    shapes((*LSTM_SHAPE, *LSTM_SHAPE, (2 * H, H)), ((H,),)),
    {form: _bidirectional_ours(form) for form in lstm.FORMS},
    _torch_bidirectional,
  ),
]
