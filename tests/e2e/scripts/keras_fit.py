"""Trains with Keras 3 on torch: its layers, losses and optimizers, which are none of torch's."""

import argparse
import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import torch
from ddp import make_data


def main(epochs):
    keras.utils.set_random_seed(0)
    keras.config.set_floatx("float64")
    x, y = (tensor.numpy() for tensor in make_data().tensors)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(4)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.05, momentum=0.9), loss=loss, metrics=["accuracy"])
    history = model.fit(x, y, batch_size=20, epochs=epochs, verbose=0)
    print(history.history)
    torch.save([torch.tensor(weight) for weight in model.get_weights()], "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    main(parser.parse_args().epochs)
