"""Worker: settles each paid order once, whatever dies on the way."""
