"""The autoencoder's bound and latent are right, and padding changes nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.models.pattern import PatternError, entry
from jaxmem.models.vae import VAE, Posterior, VAEConfig
from jaxmem.tasks.autoencoding import data, metrics
from jaxmem.tasks.autoencoding.latent_text import LatentWriter
from jaxmem.tokenizers import ByteTokenizer

BYTES = ByteTokenizer()
T = 8
CONFIG = VAEConfig(
  vocab_size=257,
  d_latent=3,
  d_model=8,
  encoder=(entry("gru"), entry("encoder_attention", num_heads=2)),
  pattern=(entry("gru"), entry("window", window_size=4, num_heads=2)),
)
LINES = data.lines([("a", b"abc\nde\nfghijkl\nm")], BYTES, T - 1)


@functools.cache
def build(**changes):
  model = VAE(dataclasses.replace(CONFIG, **changes))
  init = jax.jit(functools.partial(model.init, method="objective"))
  params = init(jax.random.key(0), model.example(2, T), ())
  params = jax.tree.map(lambda a: a * 2, params)  # so that the latent matters
  return model, params


def batch(length=T, weight=1.0):
  rows = data.batch(LINES, data.pairs(LINES, False), length, 256)
  return rows | {"kl_weight": np.full(len(LINES), weight, np.float32)}


@functools.cache
def compiled(model, method, *static):
  """Compiles a method as a function of the parameters, its arguments and keys."""
  call = functools.partial(model.apply, method=method)
  return jax.jit(call, static_argnums=static)


def nats(model, params, batch, deterministic=True, rngs=None):
  """Returns -ELBO of each row, at the mean of the posterior unless it is drawn."""
  objective = compiled(model, "objective", 3)
  losses = objective(params, arrays(batch), (), deterministic, rngs=rngs)[0]
  return np.asarray((losses * batch["weights"]).sum(1))


def arrays(batch):
  return jax.tree.map(jnp.asarray, batch)


def posterior(model, params, batch):
  batch = arrays(batch)
  return compiled(model, "posterior")(params, batch["read"], batch["length"])


def reconstruction(model, params, batch):
  batch = arrays(batch)
  written = batch["tokens"], batch["targets"], posterior(model, params, batch).mean
  losses = compiled(model, "losses")(params, *written)
  return np.asarray((losses * batch["weights"]).sum(1))


def test_the_kl_is_the_mean_of_log_q_over_p(key):
  q = Posterior(jnp.array([[0.5, -1.0, 0.0]]), jnp.array([[-1.0, 0.3, 0.0]]))
  draw = lambda noise: -q.log_ratio(noise)[0]
  samples = np.asarray(jax.vmap(draw)(jax.random.normal(key, (100_000, 1, 3))))
  assert abs(samples.mean() - q.kl().sum()) < 4 * samples.std() / samples.size**0.5
  mean, std = np.asarray(q.mean), np.exp(np.asarray(q.log_std))
  by_hand = (mean**2 + std**2 - 1) / 2 - np.log(std)
  np.testing.assert_allclose(q.kl(), by_hand, atol=1e-6)


def test_the_log_ratio_is_that_of_two_densities():
  from scipy import stats

  mean, log_std, noise = np.random.default_rng(0).normal(size=(3, 2, 4))
  q = Posterior(*(jnp.asarray(a, jnp.float32) for a in (mean, log_std)))
  z, std = mean + np.exp(log_std) * noise, np.exp(log_std)
  expected = (stats.norm.logpdf(z) - stats.norm.logpdf(z, mean, std)).sum(1)
  actual = q.log_ratio(jnp.asarray(noise, jnp.float32))
  np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_the_bound_is_below_the_marginal_and_more_draws_close_the_gap():
  """With a latent of one number the marginal is an integral over a line."""
  model, params = build(d_latent=1)
  params = jax.tree.map(jnp.copy, params)
  for name in ("gaussian", "given"):  # near the prior, so that draws find the text
    smaller = jax.tree.map(lambda a: a / 16, params["params"][name])
    params["params"][name] = smaller
  inputs = {k: a for k, a in batch().items() if k != "kl_weight"}
  z, step = np.linspace(-6, 6, 241, retstep=True)

  @jax.jit
  def log_p(z):
    latent = jnp.full((len(LINES), 1), z, jnp.float32)
    written = arrays((inputs["tokens"], inputs["targets"], latent))
    return -(model.apply(params, *written, method="losses") * inputs["weights"]).sum(1)

  likely = np.stack([log_p(one) for one in z]) - (z[:, None] ** 2) / 2
  marginal = np.logaddexp.reduce(likely) + np.log(step) - np.log(2 * np.pi) / 2
  exact = -marginal.sum() / np.log(2)

  worth_of = lambda draws: metrics.worth(
    model, params["params"], [(inputs, len(LINES), 17)], draws
  )
  few, many = worth_of(2), worth_of(2048)
  assert exact + 0.1 < many.elbo and many.sampled < few.sampled
  assert exact - 0.01 < many.sampled < exact + 0.05 * (many.elbo - exact)
  assert many.kl == pytest.approx(sum(many.kl_of) * len(LINES), rel=1e-5)


def test_a_latent_that_is_known_costs_the_mean_of_the_likelihoods():
  model, params = build()
  rows = [(batch(), len(LINES), 17)]
  same, previous = (
    metrics.worth(model, params["params"], rows, 64, reads_target=reads_target)
    for reads_target in (True, False)
  )
  assert same.reconstruction == previous.reconstruction > previous.sampled


def test_active_numbers_are_those_whose_mean_moves():
  model, params = build()
  still = jax.tree.map(jnp.copy, params)
  kernel = still["params"]["gaussian"]["kernel"]
  kernel = kernel.unbox().at[:, :2].set(0)  # two means of three become constants
  still["params"]["gaussian"]["kernel"] = kernel
  worth = metrics.worth(model, still["params"], [(batch(), len(LINES), 17)], 1)
  assert worth.active == 1
  padded = metrics.worth(model, still["params"], [(batch(), 2, 17)], 1)
  assert padded.texts == 2 and padded.kl < worth.kl


def test_the_objective_is_the_reconstruction_and_the_weighed_kl():
  model, params = build()
  kl = np.asarray(posterior(model, params, batch()).kl()).sum(1)
  for weight in (0.0, 0.5, 1.0):
    expected = reconstruction(model, params, batch()) + weight * kl
    actual = nats(model, params, batch(weight=weight))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_free_nats_are_a_floor_of_each_number_of_each_row():
  model, params = build(free_nats=0.7)
  kl = np.asarray(posterior(model, params, batch()).kl())
  assert (kl < 0.7).any() and (kl > 0.7).any()
  charged = nats(model, params, batch()) - reconstruction(model, params, batch())
  np.testing.assert_allclose(charged, np.maximum(kl, 0.7).sum(1), rtol=1e-4)


def test_the_kl_below_the_floor_pulls_at_nothing():
  """The difference of the objectives with and without the KL is the KL."""
  inputs = arrays(batch())
  row = jnp.ones(len(LINES))
  total = lambda p, m, weight: m.apply(
    p, inputs | {"kl_weight": weight}, (), method="objective"
  )[0].sum()
  slope = jax.jit(jax.grad(total), static_argnums=1)
  most = float(posterior(*build(), batch()).kl().max())
  steep = {}
  for free in (0.0, 1 + most):
    model, params = build(free_nats=free)
    both = (slope(params, model, weight) for weight in (row, 0 * row))
    with_kl, without = (jax.tree.leaves(g["params"]["gaussian"]) for g in both)
    pairs = zip(with_kl, without, strict=True)
    steep[free] = max(float(np.abs(a - b).max()) for a, b in pairs)
  assert steep[1 + most] == 0 < steep[0.0]


def test_word_dropout_hides_what_the_decoder_reads_and_nothing_else(key):
  model, params = build(word_dropout=1.0)
  latent = jnp.ones((len(LINES), 3))
  inputs = arrays(batch())
  losses = compiled(model, "losses", 4)
  train = functools.partial(losses, params, rngs={"dropout": key})
  other = jnp.where(jnp.arange(T) > 0, 7, inputs["tokens"])
  written = lambda tokens, quiet: train(tokens, inputs["targets"], latent, quiet)
  np.testing.assert_array_equal(
    written(inputs["tokens"], False), written(other, False)
  )  # no token is seen, whichever it is
  assert (written(inputs["tokens"], True) != written(other, True)).any()
  hidden = jnp.where(jnp.arange(T) > 0, inputs["tokens"], 0)
  assert (written(inputs["tokens"], False) != written(hidden, False)).all()


def test_a_latent_is_drawn_while_training_and_the_mean_otherwise(key):
  model, params = build()
  other = jax.random.key(1)
  first, second, again = (
    nats(model, params, batch(), deterministic=False, rngs={"dropout": k})
    for k in (key, other, key)
  )
  assert (first != second).all() and (first == again).all()
  assert (nats(model, params, batch()) == nats(model, params, batch())).all()


def test_padding_never_changes_an_answer():
  model, params = build()
  wide, narrow = batch(T + 4), batch()
  np.testing.assert_allclose(
    nats(model, params, wide), nats(model, params, narrow), rtol=1e-5
  )
  dirty = {k: a.copy() for k, a in narrow.items()}
  real = np.arange(T) < dirty["length"][:, None]
  dirty["read"][~real] = 99
  dirty["tokens"][:, 1:][~real[:, :-1]] = 98
  dirty["targets"][dirty["weights"] == 0] = 97
  np.testing.assert_array_equal(nats(model, params, dirty), nats(model, params, narrow))


def test_the_encoder_reads_both_ways_and_the_decoder_one():
  model, params = build()
  inputs = batch()
  changed = inputs["read"].copy()
  changed[0, 2] = 7  # the last of "abc"
  before, after = (
    posterior(model, params, inputs | {"read": r}).mean
    for r in (inputs["read"], changed)
  )
  assert (before[0] != after[0]).all() and (before[1:] == after[1:]).all()
  latent = jnp.zeros((len(LINES), 3))
  tokens = inputs["tokens"].copy()
  tokens[:, 5] = 99
  targets = jnp.asarray(inputs["targets"])
  losses = lambda t: compiled(model, "losses")(params, t, targets, latent)
  before, after = losses(jnp.asarray(inputs["tokens"])), losses(jnp.asarray(tokens))
  np.testing.assert_array_equal(before[:, :5], after[:, :5])
  with pytest.raises(PatternError, match="reads both ways"):
    build(pattern=(entry("encoder_attention", num_heads=2),))


def test_token_by_token_is_the_whole_text():
  model, params = build()
  inputs, state = arrays(batch()), model.first_state(len(LINES))
  latent = jax.random.normal(jax.random.key(3), (len(LINES), 3))
  step = compiled(model, "step")
  by_token = []
  for t in range(T):
    logits, state = step(params, inputs["tokens"][:, t : t + 1], latent, state)
    right = inputs["targets"][:, t, None]
    log_p = jax.nn.log_softmax(logits[:, 0])
    by_token.append(log_p[np.arange(len(right)), right[:, 0]])
  written = inputs["tokens"], inputs["targets"], latent
  losses = compiled(model, "losses")(params, *written)
  np.testing.assert_allclose(-np.stack(by_token, 1), losses, rtol=1e-4, atol=1e-5)


def test_without_a_latent_nothing_is_read():
  model, params = build(d_latent=0)
  assert set(params["params"]) == {"embedding", "stack", "norm"}
  other = batch() | {"read": batch()["read"] + 1, "kl_weight": np.zeros(4, np.float32)}
  np.testing.assert_array_equal(
    nats(model, params, batch()), nats(model, params, other)
  )


def test_nothing_read_is_a_latent_too():
  model, params = build()
  empty = batch() | {"length": np.zeros(len(LINES), np.int32)}
  mean = np.asarray(posterior(model, params, empty).mean)
  assert np.isfinite(mean).all() and (mean == mean[0]).all()


@pytest.mark.parametrize(
  "text, why",
  [
    (" ", "empty"),
    ("a\nb", "several lines"),
    ("12345678", "at most 7"),
    ("\ud800", "surrogate"),
  ],
)
def test_a_text_that_cannot_be_read_is_named(text, why):
  model, params = build()
  with pytest.raises(UserError, match=why):
    LatentWriter(model, params["params"], BYTES, T).check(text)


def test_a_longer_line_is_cut_and_loses_nothing():
  lines = data.lines([("a", b"abcdefghij\n\nkl")], BYTES, 4)
  cut = np.split(lines.tokens, lines.starts[1:-1])
  assert [bytes(part.tolist()) for part in cut] == [b"abcd", b"efgh", b"ij", b"kl"]
  assert lines.num_bytes.tolist() == [4, 4, 3, 3]
  assert data.pairs(lines, True).tolist() == [[0, 1], [1, 2], [2, 3]]
