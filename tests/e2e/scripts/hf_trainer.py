"""Trains a tiny, randomly initialised image or text classifier with the Trainer of Transformers; nothing is downloaded."""

import argparse

import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
    set_seed,
)

COUNTS = (24, 16, 5, 3)


class Images(Dataset):
    def __init__(self):
        g = torch.Generator().manual_seed(1)
        self.labels = torch.cat([torch.full((n,), c) for c, n in enumerate(COUNTS)]).tolist()
        self.pixels = torch.randn(len(self.labels), 3, 8, 8, generator=g).double()

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"pixel_values": self.pixels[index], "labels": self.labels[index]}


class Texts(Dataset):
    def __init__(self):
        g = torch.Generator().manual_seed(1)
        self.labels = torch.cat([torch.full((n,), c) for c, n in enumerate(COUNTS)]).tolist()
        self.tokens = torch.randint(0, 50, (len(self.labels), 6), generator=g)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {
            "input_ids": self.tokens[index],
            "attention_mask": torch.ones(6, dtype=torch.long),
            "labels": self.labels[index],
        }


def make(kind):
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    if kind == "vit":
        return ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_labels=4, **small)), Images()
    config = BertConfig(vocab_size=50, max_position_embeddings=8, num_labels=4, **small)
    return BertForSequenceClassification(config), Texts()


def main(kind="vit", callbacks=(), epochs=2):
    set_seed(0)
    model, data = make(kind)
    model = model.double()
    arguments = TrainingArguments(
        output_dir="out",
        num_train_epochs=epochs,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=data, eval_dataset=data, callbacks=list(callbacks))
    trainer.train()
    print([entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry])
    torch.save(model.state_dict(), "model.pt")
    return trainer


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("vit", "bert"))
    parser.add_argument("--epochs", type=int, default=2)
    main(**vars(parser.parse_args()))
