"""The rates that S4D and S5 start from: memories of past inputs as Legendre sums.

Source: Gu et al. 2020, arXiv:2008.07669, section 2.3 (HiPPO-LegS); its normal part from
Gu et al. 2022, arXiv:2206.11893, section 4 (S4D-LegS).
"""

import numpy as np


def eigen(size: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns half of the spectrum of HiPPO-LegS's normal part, one of each pair.

      S_nk = -sqrt((2n + 1)(2k + 1)) / 2  (n > k),    A = -I/2 + S - S^T = V diag(.) V*

  The other half is its complex conjugate.

  Args:
    size: P, rows of A; even.

  Returns:
    eigenvalues [P/2] with a real part of -1/2 and a positive imaginary part, smallest
    first; and their eigenvectors [P, P/2] of length 1.

  Raises:
    ValueError: if P is odd.
  """
  if size < 2 or size % 2:
    raise ValueError(f"state_size is {size}: complex pairs need an even number >= 2")
  root = np.sqrt(2 * np.arange(size) + 1)  # [P]
  lower = -np.tril(np.outer(root, root), -1) / 2  # [P, P]
  # S - S^T is skew-symmetric: -i times it is Hermitian, with eigenvalues in pairs of +-
  # and `eigh`, in float64, which sorts them; `eig` is neither sorted nor orthogonal
  frequencies, vectors = np.linalg.eigh(-1j * (lower - lower.T))
  half = size // 2
  return -0.5 + 1j * frequencies[half:], vectors[:, half:]
