"""Trains with skorch: one classifier, or a grid search over learning rates with folds, which trains several models."""

import argparse

import torch
from ddp import make_data, make_model
from skorch import NeuralNetClassifier
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = make_model()

    def forward(self, x):
        return self.net(x)


def main(kind, epochs):
    torch.manual_seed(0)
    x, y = (tensor.numpy() for tensor in make_data().tensors)
    net = NeuralNetClassifier(
        Net,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=0.05,
        max_epochs=epochs,
        batch_size=20,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    if kind == "grid":
        from sklearn.model_selection import GridSearchCV

        search = GridSearchCV(net, {"lr": [0.05, 0.1]}, cv=2, scoring="accuracy")
        search.fit(x, y)
        net = search.best_estimator_
        print(search.best_params_, search.best_score_)
    else:
        net.fit(x, y)
    print(f"{net.history[-1, 'train_loss']:.17g}")
    torch.save(net.module_.state_dict(), "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["fit", "grid"])
    parser.add_argument("--epochs", type=int, default=2)
    main(**vars(parser.parse_args()))
