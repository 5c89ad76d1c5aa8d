"""A fully connected network and two optimizers, in NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


class Network:
    """Layers with ReLU between them and a softmax at the end.

    Args:
        sizes: Number of units of each layer, including input and output.
        rng: Random generator for the initial weights.
    """

    def __init__(self, sizes: list[int], rng: np.random.Generator) -> None:
        self.parameters: list[np.ndarray] = []  # weights (n_in, n_out) and biases (n_out,), layer by layer
        for n_in, n_out in pairwise(sizes):
            self.parameters += [rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)), np.zeros(n_out)]

    def _activations(self, images: np.ndarray) -> list[np.ndarray]:
        """Return the input of each layer, (n, n_in), then the class probabilities, (n, 10)."""
        activations = [images]
        last = len(self.parameters) - 2
        for layer in range(0, len(self.parameters), 2):
            values = activations[-1] @ self.parameters[layer] + self.parameters[layer + 1]
            activations.append(np.maximum(values, 0) if layer < last else values)
        exponentials = np.exp(activations[-1] - activations[-1].max(axis=1, keepdims=True))
        activations[-1] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return activations

    def loss_and_gradients(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """Return the mean cross-entropy of a batch, and its gradient with respect to each parameter."""
        *inputs, probabilities = self._activations(images)
        rows = np.arange(len(labels))
        loss = float(-np.log(probabilities[rows, labels] + 1e-12).mean())
        error = probabilities
        error[rows, labels] -= 1
        error /= len(labels)
        gradients: list[np.ndarray] = []
        for layer in reversed(range(len(inputs))):
            gradients[:0] = [inputs[layer].T @ error, error.sum(axis=0)]
            error = (error @ self.parameters[2 * layer].T) * (inputs[layer] > 0)
        return loss, gradients

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Return the fraction of images that are classified correctly."""
        return float((self._activations(images)[-1].argmax(axis=1) == labels).mean())


class SGD:
    """Gradient descent with momentum."""

    def __init__(self, parameters: list[np.ndarray], lr: float, momentum: float) -> None:
        self.lr, self.momentum = lr, momentum
        self.state = [np.zeros_like(parameter) for parameter in parameters]

    def step(self, parameters: list[np.ndarray], gradients: list[np.ndarray]) -> None:
        """Update the parameters in place."""
        for parameter, gradient, velocity in zip(parameters, gradients, self.state, strict=True):
            velocity *= self.momentum
            velocity -= self.lr * gradient
            parameter += velocity


class Adam:
    """Adam (Kingma and Ba, 2015)."""

    def __init__(self, parameters: list[np.ndarray], lr: float, beta1: float, beta2: float) -> None:
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.state = [np.zeros((2, *parameter.shape)) for parameter in parameters] + [np.zeros(1)]

    def step(self, parameters: list[np.ndarray], gradients: list[np.ndarray]) -> None:
        """Update the parameters in place."""
        *moments, steps = self.state
        steps += 1
        for parameter, gradient, moment in zip(parameters, gradients, moments, strict=True):
            moment[0] += (1 - self.beta1) * (gradient - moment[0])
            moment[1] += (1 - self.beta2) * (gradient**2 - moment[1])
            mean, square = moment[0] / (1 - self.beta1**steps), moment[1] / (1 - self.beta2**steps)
            parameter -= self.lr * mean / (np.sqrt(square) + 1e-8)


def make_optimizer(parameters: list[np.ndarray], name: str, **options: float) -> SGD | Adam:
    """Return the optimizer that the config group `optimizer` selects."""
    return {"sgd": SGD, "adam": Adam}[name](parameters, **options)
