"""Registers a second device with torch, as a vendor's plugin does when it is imported; compiles it the first time."""

import types
from pathlib import Path

import torch
from torch.utils.cpp_extension import load_inline

NAME = "second"


def register():
    source = Path(__file__).resolve().with_suffix(".cpp").read_text()
    # Kept from then on, wherever this file lies.
    load_inline("second_device", source, extra_cflags=["-O0"], is_python_module=False, no_implicit_headers=True)
    torch.utils.rename_privateuse1_backend(NAME)
    torch.utils.generate_methods_for_privateuse1_backend()
    module = types.ModuleType(f"torch.{NAME}")
    module.is_available = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.manual_seed_all = lambda seed: None
    module._is_in_bad_fork = lambda: False
    module.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    torch._register_device_module(NAME, module)


register()
