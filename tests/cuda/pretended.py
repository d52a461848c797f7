# ruff: noqa: E402 - a stub of the driver's library must be loaded before torch is imported
"""A pretended GPU: tensors that say they are on cuda:0 and compute on the CPU.

They follow a GPU's rules (autograd, autocast, `is_cuda` branches, errors of mixed devices, no NumPy) and count launches
and syncs. A graph is recorded and repeated on the memory of its tensors; what leaves the device meanwhile is an error.
`install()` holds to the end of the process. Needs PyTorch's CUDA build and g++. It cannot show kernels, fused
attention, the compiler, NCCL or real memory.
"""

import concurrent.futures
import ctypes
import subprocess
import tempfile
from collections import Counter
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

STUB = """extern "C" { signed char pretended = 0;  // what PyTorch's autograd engine asks of a driver
signed char _ZN3c104cuda12device_countEv() { return pretended; }
int cuDevicePrimaryCtxGetState(int, unsigned* f, int* a) { *f = *a = 0; return 0; } }"""
with tempfile.TemporaryDirectory() as _folder:  # under the name of the driver's library
    _compiler = ["g++", "-x", "c++", "-", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", f"{_folder}/stub.so"]
    subprocess.run(_compiler, input=STUB, text=True, check=True)
    _stub = ctypes.CDLL(f"{_folder}/stub.so", ctypes.RTLD_GLOBAL)
import safetensors.torch
import torch
import torch.distributed as dist
import torch.optim.optimizer as optimizers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from workflow_scripts.study.operations import launches

aten, TALLY = torch.ops.aten, Counter()  # launches and syncs so far
RECORDING: list["Graph"] = []  # the graph that is being recorded
METERS = []  # `LiveBytes` that note what the device holds
WAITING = ["default"]  # PyTorch's debug mode of operations for which the host waits
COPIES = {aten._to_copy.default, aten.copy_.default}
# Of what `torch.use_deterministic_algorithms` lists as without a deterministic form on a GPU, what networks may use.
UNDETERMINED = {
    "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "adaptive_max_pool2d_backward",
    "avg_pool3d_backward", "fractional_max_pool2d_backward", "max_pool3d_with_indices_backward", "max_unpool2d",
    "reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward", "replication_pad1d_backward",
    "replication_pad2d_backward", "replication_pad3d_backward", "grid_sampler_2d_backward", "grid_sampler_3d_backward",
    "upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward",
    "upsample_trilinear3d_backward", "nll_loss2d_forward", "nll_loss2d_backward", "_ctc_loss_backward", "put_", "histc",
    "kthvalue",
}  # fmt: skip
SYNCS = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2"}


class Cuda(Tensor):
    @staticmethod
    def __new__(cls, elem):
        t = Tensor._make_wrapper_subclass(
            cls,
            elem.shape,
            strides=elem.stride(),
            dtype=elem.dtype,
            storage_offset=elem.storage_offset(),
            device=torch.device("cuda", 0),
        )
        t.elem = elem
        for meter in METERS:
            meter.note(elem)
        return t

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    def numpy(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy

    def tolist(self):
        TALLY["syncs"] += 1
        if WAITING == ["error"]:
            raise RuntimeError("tolist: called a synchronizing CUDA operation")
        return self.elem.tolist()

    def __deepcopy__(self, memo):
        new = Cuda(self.elem.clone())
        new = torch.nn.Parameter(new, self.requires_grad) if getattr(self, "_is_param", False) else new
        vars(new).update({k: v for k, v in vars(self).items() if k not in ("elem", "_is_param")})
        return memo.setdefault(id(self), new)


def leaves(*values):
    """What nested sequences and mappings hold. torch's own function knows more kinds and takes most of a step."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from leaves(*value)
        elif isinstance(value, dict):
            yield from leaves(*value.values())
        else:
            yield value


def mapped(change, value):
    """The same nest, of changed leaves."""
    if isinstance(value, (tuple, list)):
        return type(value)([mapped(change, part) for part in value])
    if isinstance(value, dict):
        return {name: mapped(change, part) for name, part in value.items()}
    return change(value)


def there(device):
    return device is not None and torch.device(device).type == "cuda"


def run(func, args, kwargs):
    flat, name = [*leaves(args, kwargs)], func._schema.name.split("::")[1]
    cudas = [x for x in flat if isinstance(x, Cuda)]
    plain = [x for x in flat if isinstance(x, Tensor) and not isinstance(x, Cuda) and x.ndim]
    on_gpu = there(kwargs["device"]) if kwargs.get("device") is not None else bool(cudas)
    if any(isinstance(x, Generator) and x.on_gpu != on_gpu for x in flat):
        raise RuntimeError(f"{func}: a generator of the other device")
    if name in ("index", "index_put_", "_unsafe_index") and isinstance(args[0], Cuda):
        plain = [x for x in plain if x is not args[0] and x.dtype != torch.int64]
    if cudas and plain and func not in COPIES:
        raise RuntimeError(f"{func}: expected all tensors on one device, found cuda:0 and cpu")
    moved = func in COPIES and (bool(plain) or not on_gpu)
    returns, computes = func._schema.returns, launches(func)
    waits = name in SYNCS or (moved and not kwargs.get("non_blocking"))
    TALLY.update(launches=int(computes), syncs=int(waits))
    if name in UNDETERMINED and on_gpu and torch.get_deterministic_debug_mode() == 2:
        raise RuntimeError(f"{func} does not have a deterministic implementation")
    if WAITING == ["error"] and waits:
        raise RuntimeError(f"{func}: called a synchronizing CUDA operation")
    if RECORDING and (waits or moved or plain):
        raise RuntimeError(f"{func}: leaves the device while a graph is recorded")
    if RECORDING:
        RECORDING[0].keep(func, args, kwargs)
    if name == "as_strided_":  # strides of axes of one element
        return args[0]

    def inner(x):
        return x.elem if isinstance(x, Cuda) else torch.device("cpu") if isinstance(x, torch.device) else x

    work, inputs, named = INSTEAD.get(func, func), mapped(inner, args), mapped(inner, kwargs)
    out = work(*inputs, **named)
    if RECORDING and computes:
        RECORDING[0].steps.append((work, inputs, named, out))
    if returns and returns[0].alias_info and returns[0].alias_info.is_write:
        into = written(func, args, kwargs)
        return into[0] if len(returns) == 1 else tuple(into)
    return mapped(lambda x: Cuda(x) if isinstance(x, Tensor) else x, out) if on_gpu else out


def written(func, args, kwargs):
    """The arguments that the operation writes into."""
    arguments = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | kwargs
    return [arguments.get(a.name) for a in func._schema.arguments if a.alias_info and a.alias_info.is_write]


INSTEAD = {
    aten.cudnn_batch_norm.default: lambda *a: (*aten.native_batch_norm(*a), torch.empty(0, dtype=torch.uint8)),
    aten.cudnn_batch_norm_backward.default: lambda x, g, w, m, v, sm, sv, eps, _: aten.native_batch_norm_backward(
        g, x, w, m, v, sm, sv, True, eps, [True] * 3
    ),
}


class Stream:
    def wait_stream(self, other):
        pass


class Graph:
    """A record of operations, each with the memory that it reads and writes.

    They are computed while they are recorded, for their shapes; after that all is as it was, as on a GPU, which only
    notes them.
    """

    def __init__(self):
        self.steps, self.before = [], {}

    def keep(self, func, args, kwargs):
        """Keep what the operation will write over."""
        for tensor in leaves(written(func, args, kwargs)):
            if isinstance(tensor, Cuda):
                storage = tensor.elem.untyped_storage()
                self.before.setdefault(storage._cdata, (storage, storage.clone()))

    def restore(self):
        for storage, content in self.before.values():
            storage.copy_(content)
        self.before.clear()

    def replay(self):
        TALLY.update(launches=1)
        for work, args, kwargs, before in self.steps:
            again = work(*args, **kwargs)
            for old, new in zip(leaves(before), leaves(again), strict=True):
                if isinstance(old, Tensor) and old is not new:
                    old.copy_(new)


@contextmanager
def record(graph, pool=None, stream=None):
    RECORDING.append(graph)
    TALLY.update(recorded=1)
    random = torch.get_rng_state()
    try:
        yield
    finally:
        RECORDING.clear()
        graph.restore()
        torch.set_rng_state(random)


class Mode(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls):
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        ours = any(
            isinstance(x, (Cuda, Generator)) or (isinstance(x, torch.device) and x.type == "cuda")
            for x in leaves(args, kwargs)
        )
        return run(func, args, kwargs or {}) if ours else func(*args, **(kwargs or {}))


class Generator(torch.Generator):
    def __new__(cls, device="cpu"):
        generator = super().__new__(cls)
        generator.on_gpu = there(device)
        return generator

    def __init__(self, device="cpu"):
        pass


def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    return (q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)).softmax(-1).to(v.dtype) @ v


def install():
    torch._C._ensureCUDADeviceGuardSet()
    ctypes.c_byte.in_dll(_stub, "pretended").value = 127
    cuda, save, load, tensor, apply = torch.cuda, torch.save, torch.load, torch.tensor, torch.nn.Module._apply
    save_file = safetensors.torch.save_file
    Tensor.pin_memory, cuda.get_device_capability = lambda self, *_: self, lambda *_: (9, 0)
    cuda.Stream, cuda.current_stream, cuda.stream = Stream, lambda *_: Stream(), lambda _: nullcontext()
    cuda.CUDAGraph, cuda.graph, cuda.graph_pool_handle = Graph, record, lambda: None
    cuda.mem_get_info, cuda.max_memory_reserved = lambda *_: (2**33, 2**33), lambda *_: 0
    cuda.set_sync_debug_mode = lambda mode: WAITING.__setitem__(0, mode)
    properties = SimpleNamespace(name="pretended", major=9, minor=0, total_memory=2**33)
    cuda.get_device_properties = lambda *_: properties
    for name in ("_lazy_init", "synchronize", "manual_seed_all", "set_device", "reset_peak_memory_stats"):
        setattr(cuda, name, lambda *_, _name=name: None)
    cuda.is_available, cuda.device_count, cuda.get_device_name = lambda: True, lambda: 1, lambda *_: "pretended"
    cuda.is_bf16_supported, cuda.is_current_stream_capturing = lambda *_, **__: True, lambda: False
    torch.Generator, torch.nn.functional.scaled_dot_product_attention = Generator, attention
    torch.inference_mode = lambda mode=True: torch.set_grad_enabled(not mode and torch.is_grad_enabled())
    optimizers._foreach_supported_types.append(Cuda)

    def down(state):
        return mapped(lambda x: x.elem if isinstance(x, Cuda) else x, state)

    def up(state, device):
        return mapped(lambda x: Cuda(x) if isinstance(x, Tensor) and there(device) else x, state)

    reduce, meet = dist.all_reduce, dist.init_process_group
    dist.all_reduce = lambda tensor, *a: reduce(down(tensor), *a)  # by Gloo, where a GPU has NCCL
    dist.init_process_group = lambda backend, *a, **k: meet("gloo", *a, **k)
    torch.save = lambda state, *a, **k: save(down(state), *a, **k)
    safetensors.torch.save_file = lambda state, *a, **k: save_file(down(state), *a, **k)
    torch.load = lambda f, map_location=None, **k: up(load(f, map_location="cpu", **k), map_location)
    torch.tensor = lambda data, *, device=None, **k: tensor(data, **k).to(device or "cpu")
    torch.__future__.set_overwrite_module_params_on_conversion(True)

    def keep_notes(self, fn, recurse=True):  # a parameter that moves stays the same object
        noted = {n: vars(p) for n, p in self._parameters.items() if p is not None}
        done = apply(self, fn, recurse)
        for n, notes in noted.items():
            vars(self._parameters[n]).update({k: v for k, v in notes.items() if k not in ("elem", "_is_param")})
        return done

    torch.nn.Module._apply = keep_notes
    submit = concurrent.futures.ThreadPoolExecutor.submit

    def in_mode(fn, *a, **k):
        with Mode():
            return fn(*a, **k)

    concurrent.futures.ThreadPoolExecutor.submit = lambda self, fn, *a, **k: submit(self, in_mode, fn, *a, **k)
    torch.autograd.set_multithreading_enabled(False)
    Mode().__enter__()
