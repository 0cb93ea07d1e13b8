"""python language_model.py KIND: trains a tiny language model on made-up text; nothing is downloaded.

Loops after nanoGPT and minGPT, the Trainer of Transformers, LoRA of peft, and SFTTrainer of TRL.
"""

import math
import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

VOCABULARY, BLOCK = 24, 8


def text(length, seed=1):
    """Tokens after Zipf, each related to the one before it. The last ids never occur."""
    g = torch.Generator().manual_seed(seed)
    often = 1.0 / torch.arange(1, VOCABULARY - 2).double() ** 1.5
    tokens = torch.multinomial(often, length, replacement=True, generator=g)
    return torch.where(torch.rand(length, generator=g) < 0.5, tokens, (tokens.roll(1) * 2) % (VOCABULARY - 4))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.attention(self.first(x)).split(x.shape[-1], -1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.second(x))


class GPT(nn.Module):
    """Returns logits and, with targets, the loss. The weights of embedding and head are one parameter."""

    def __init__(self, width=16, heads=2, layers=2):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(BLOCK, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)), nn.LayerNorm(width))
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.tokens.weight = self.head.weight

    def forward(self, x, targets=None):
        h = self.blocks(self.tokens(x) + self.places.weight[: x.shape[1]])
        logits = self.head(h)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)


def nanogpt():
    data, model = text(2000), GPT().double()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)

    def get_batch():
        at = torch.randint(len(data) - BLOCK, (6,))
        return torch.stack([data[i : i + BLOCK] for i in at]), torch.stack([data[i + 1 : i + 1 + BLOCK] for i in at])

    x, y = get_batch()
    for step in range(16):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * math.cos(step / 20)
        for _ in range(2):
            _, loss = model(x, y)
            loss = loss / 2
            x, y = get_batch()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model


class Sums(Dataset):
    """Sequences whose first half is given: its targets are -1, as in minGPT's sums of numbers."""

    def __init__(self):
        self.text = text(600)

    def __len__(self):
        return len(self.text) - BLOCK

    def __getitem__(self, i):
        x, y = self.text[i : i + BLOCK], self.text[i + 1 : i + 1 + BLOCK].clone()
        y[: BLOCK // 2] = -1
        return x, y


def mingpt():
    data, model = Sums(), GPT().double()
    sampler = RandomSampler(data, replacement=True, num_samples=int(1e10))
    loader = DataLoader(data, shuffle=False, sampler=sampler, batch_size=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step, (x, y) in enumerate(loader):
        if step == 26:
            break
        _, loss = model(x, y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


class Sentences(Dataset):
    """Sentences of different lengths. The labels are the tokens, and -100 where the prompt or the padding is."""

    def __init__(self, columns=("input_ids", "labels")):
        words = text(40 * BLOCK).view(40, BLOCK)
        lengths = [BLOCK - n % 3 for n in range(40)]
        self.input_ids = [row[:length].tolist() for row, length in zip(words, lengths)]
        self.labels = [[-100, *row[1:]] for row in self.input_ids]
        self.columns = columns

    def __len__(self):
        return len(self.input_ids)

    def __getitem__(self, i):
        return {name: getattr(self, name)[i] for name in self.columns}


def padded(rows):
    def tensor(name, fill):
        return torch.tensor([[*row[name], *[fill] * (BLOCK - len(row[name]))] for row in rows])

    return {
        "input_ids": tensor("input_ids", 0),
        "labels": tensor("labels", -100),
        "attention_mask": (tensor("input_ids", -1) >= 0).long(),
    }


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    ends = {"bos_token_id": VOCABULARY - 1, "eos_token_id": VOCABULARY - 1, "pad_token_id": 0}
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_positions=BLOCK, n_embd=16, n_layer=2, n_head=2, **ends)
    ).double()


def arguments(**more):
    return {
        "output_dir": "out",
        "num_train_epochs": 2,
        "per_device_train_batch_size": 5,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "logging_steps": 2,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        **more,
    }


def trainer(model=None):
    from transformers import Trainer, TrainingArguments, set_seed

    set_seed(0)
    model = model or gpt2()
    given = TrainingArguments(**arguments())
    Trainer(model=model, args=given, train_dataset=Sentences(), data_collator=padded).train()
    return model


def lora():
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=4, lora_dropout=0.1, target_modules=["c_attn"], task_type="CAUSAL_LM")
    return trainer(get_peft_model(gpt2(), config).double())


def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{n}": n for n in range(VOCABULARY - 2)} | {"[PAD]": VOCABULARY - 2, "[END]": VOCABULARY - 1}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", eos_token="[END]")


def next_token_loss(outputs, labels, num_items_in_batch=None):
    logits, targets = outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return F.cross_entropy(logits, targets, reduction="sum", ignore_index=-100) / num_items_in_batch


def sft():
    from datasets import Dataset as Table
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    model = gpt2()
    rows = [{"text": " ".join(f"w{n}" for n in row[:6])} for row in Sentences().input_ids]
    given = SFTConfig(**arguments(max_length=BLOCK, bf16=False, gradient_checkpointing=False))
    # By itself it computes the loss in chunks of its own, which has no logits.
    SFTTrainer(
        model=model,
        args=given,
        train_dataset=Table.from_list(rows),
        processing_class=tokenizer(),
        compute_loss_func=next_token_loss,
    ).train()
    return model


def main():
    torch.manual_seed(0)
    model = {"nanogpt": nanogpt, "mingpt": mingpt, "trainer": trainer, "lora": lora, "sft": sft}[sys.argv[1]]()
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    main()
