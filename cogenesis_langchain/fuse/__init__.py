"""The decoding loops of fusion: `draft` consults one drafted text, `live` shows the cloud a shadow of ours."""
