"""Losses of classifiers: against labels, corrected for long tails, and against teachers."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

Combination = Literal["losses", "logits", "probabilities"]


def class_weights(counts: Tensor) -> Tensor:
    """Weights (C,) in inverse proportion to the classes' counts (C,), of mean 1 over the images; 0 without any."""
    present = counts > 0
    weights = torch.where(present, 1 / counts.clamp(min=1).double(), 0.0)
    return (weights * counts.sum() / present.sum()).float()


def balanced_softmax(logits: Tensor, counts: Tensor) -> Tensor:
    """Logits (B, C) shifted by the log counts (C,) of the training set (Ren et al. 2020), for training only."""
    return logits + counts.clamp(min=1e-12).log().to(logits.dtype)


def distillation_loss(
    logits: Tensor,
    labels: Tensor,
    teachers: Tensor,
    alpha: float,
    temperature: float,
    combination: Combination = "losses",
    label_smoothing: float = 0.0,
) -> Tensor:
    """alpha * cross-entropy + (1 - alpha) * T^2 * KL(teacher_T || student_T), mean over images (Hinton et al. 2015).

    logits: (B, C). teachers: (M, B, C) logits. combination: the mean of the losses against each teacher (Guo et al.
    2024), or one loss against their mean logits or their mean probabilities at the temperature. alpha = 1 is plain
    training, to the bit: the teachers then take no part.
    """
    hard = cross_entropy(logits, labels, label_smoothing=label_smoothing)
    if alpha == 1:
        return hard
    student = log_softmax(logits / temperature, -1)
    if combination == "logits":
        teachers = teachers.mean(0, keepdim=True)
    targets = softmax(teachers / temperature, -1)
    if combination == "probabilities":
        targets = targets.mean(0, keepdim=True)
    soft = kl_div(student.expand_as(targets), targets, reduction="none").sum(-1).mean()
    return alpha * hard + (1 - alpha) * temperature**2 * soft
