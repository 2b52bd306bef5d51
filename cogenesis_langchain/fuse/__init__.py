"""The decoding loops of fusion: `draft` consults one drafted text, `live` shows it a shadow."""
