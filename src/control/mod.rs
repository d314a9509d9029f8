//! The control plane: health, models, metrics as bytes.
