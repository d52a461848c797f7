"""The two ways in which a job ends without a fault of the program: bad input, and being asked to stop."""


class InputError(Exception):
    """Bad input by the user: the message names the file or key, what was expected and what to do."""


class Interrupted(Exception):
    """A job was asked to stop, or has no time left, and left a checkpoint."""


# What CUDA's libraries say where the GPU has no memory left; torch's own error is an OutOfMemoryError.
NO_GPU_MEMORY = (
    "CUDA out of memory", "CUDA error: out of memory", "cudaErrorMemoryAllocation", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED", "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "Failed to CUDA calloc",
)  # fmt: skip


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether an error says that the GPU has no memory left."""
    return type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in NO_GPU_MEMORY)
