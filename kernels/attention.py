"""Attention of a block's queries over its context: softmax(q k^T / sqrt(D) + bias) v.

Bound: 4 L S H D FLOPs for L queries on S keys; with thousands of queries sharing each key it is
compute-bound, so a shorter context buys speed and smaller keys buy capacity only.
"""

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attend without a copy of keys or values.

    Args:
        query: [B, L, H, D], rotated.
        key: [B, S, H, D], rotated; any strides.
        value: [B, S, H, D].
        bias: broadcast to [B, H, L, S]; added to the logits (minus infinity hides a key), or bool,
            True where a query sees a key.

    Returns:
        [B, L, H, D].
    """
    out = scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=bias
    )
    return out.transpose(1, 2)
