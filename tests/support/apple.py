"""Tensors that can do what those on Apple's GPUs can, on any machine."""

from typing import NoReturn

import torch


class OnAppleGPU(torch.Tensor):
    """A tensor that has no float64 and no NumPy array before it is on the CPU; what is made of it is like it.

    `tensor.as_subclass(OnAppleGPU)` makes one.
    """

    def double(self) -> NoReturn:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")

    def numpy(self) -> NoReturn:
        raise TypeError("can't convert mps:0 device type tensor to numpy")

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)
