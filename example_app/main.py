"""A plain Hydra application: a small neural network in NumPy, trained on handwritten digits.

It does not depend on hydra-mlxp. The data are the 1,797 images of 8 x 8 pixels that scikit-learn includes.
"""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from hydra.core.hydra_config import HydraConfig
from network import Network, make_optimizer
from omegaconf import DictConfig
from sklearn.datasets import load_digits

log = logging.getLogger(__name__)
train_metrics = logging.getLogger("metrics.train")
test_metrics = logging.getLogger("metrics.test")


def load_data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return images (n, 64) in [0, 1] and labels (n,) for training, then for testing; a fifth is for testing."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images, labels = digits.data[order] / 16.0, digits.target[order]
    split = len(labels) // 5
    return images[split:], labels[split:], images[:split], labels[:split]


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint atomically: the run may be killed at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(pickle.dumps(state))
    new.replace(path)


@hydra.main(version_base=None, config_path="configs", config_name="config")
def main(config: DictConfig) -> float:
    """Train; return the accuracy on the test images."""
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    checkpoint = run_dir / "artifacts" / "Checkpoint" / "last_ckpt.pkl"
    train_images, train_labels, test_images, test_labels = load_data(config.seed)

    network = Network([64, *config.model.hidden, 10], np.random.default_rng(config.seed))
    optimizer = make_optimizer(network.parameters, **config.optimizer)
    first_epoch, accuracy = 0, network.accuracy(test_images, test_labels)
    if checkpoint.exists():
        state = pickle.loads(checkpoint.read_bytes())
        network.parameters[:], optimizer.state = state["parameters"], state["optimizer"]
        first_epoch, accuracy = state["epoch"] + 1, state["accuracy"]
    log.info("Starting from epoch: %d", first_epoch)

    for epoch in range(first_epoch, config.epochs):
        # The order depends only on the seed and the epoch, so that a resumed run sees the same batches
        order = np.random.default_rng((config.seed, epoch)).permutation(len(train_labels))
        losses = []
        for start in range(0, len(order), config.batch_size):
            batch = order[start : start + config.batch_size]
            loss, gradients = network.loss_and_gradients(train_images[batch], train_labels[batch])
            optimizer.step(network.parameters, gradients)
            losses.append(loss)
        accuracy = network.accuracy(test_images, test_labels)
        log.info("epoch %d  loss %.4f  test accuracy %.4f", epoch, np.mean(losses), accuracy)
        # Before the checkpoint: a run that is killed in between logs this epoch twice, but never skips it
        train_metrics.info({"loss": np.mean(losses), "epoch": epoch})
        test_metrics.info({"accuracy": accuracy, "epoch": epoch})
        save(
            checkpoint,
            {"epoch": epoch, "parameters": network.parameters, "optimizer": optimizer.state, "accuracy": accuracy},
        )

    (run_dir / "results.json").write_text(json.dumps({"test_accuracy": accuracy}))
    log.info("Completed training with a test accuracy of %.4f", accuracy)
    return accuracy


if __name__ == "__main__":
    main()
