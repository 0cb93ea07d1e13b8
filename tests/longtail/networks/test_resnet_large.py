"""The large ResNets: equal to torchvision's, signed features, weights from files and the cache."""

import pytest
import torch
import torchvision

from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.networks.resnet_large import ResNetLarge

# torchvision's published sizes, its 1000-way classifier included
PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


@pytest.mark.parametrize("depth", [18, 50])
def test_sizes(depth):
    assert sum(p.numel() for p in ResNetLarge(depth, 1000).parameters()) == PARAMETERS[depth]


def test_resnet_10_has_one_block_a_stage():
    model = ResNetLarge(10, 1000)
    assert [len(getattr(model.backbone, f"layer{i}")) for i in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert model.features == 512


@pytest.mark.parametrize("depth", [18, 50])
def test_pretrained_weights_give_torchvisions_features(tmp_path, depth):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=7).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    ours = ResNetLarge(depth, 3, pretrained=tmp_path / "weights.pt").eval()
    signed = ResNetLarge(depth, 3, pretrained=tmp_path / "weights.pt", signed_features=True).eval()
    images = torch.randn(2, 3, 64, 64)
    before_pooling = {}
    theirs.layer4[-1].relu.register_forward_hook(
        lambda module, args, output: before_pooling.update(signed=args[0].clone(), output=output)
    )
    theirs.layer4[-1].relu.inplace = False
    theirs.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.equal(ours.embed(images), theirs(images))
        # the last call of the block's ReLU had the signed map as its input
        features = signed.embed(images)
        assert torch.allclose(features, before_pooling["signed"].mean((2, 3)), atol=1e-6)
    assert (features < 0).any()
    assert ours(images).shape == (2, 3)


def test_later_stages_of_experts_are_pretrained_where_they_have_the_width(tmp_path):
    theirs = torchvision.models.resnet18()
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    ours = ResNetLarge(18, 3, pretrained=tmp_path / "weights.pt")
    cut, narrow = ours.after_first_stages(1.0), ours.after_first_stages(0.75)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        theirs.eval().fc = torch.nn.Identity()
        lower, experts = cut.lower.eval(), [cut.upper().eval() for _ in range(2)]
        for expert in experts:
            assert torch.allclose(expert(lower(images)), theirs(images), atol=1e-6)
    assert cut.features == 512
    weights = [expert[0][0].conv1.weight for expert in (*experts, narrow.upper())]
    assert weights[0].data_ptr() != weights[1].data_ptr()  # each expert has its own
    assert weights[2].shape[0] == 192


def test_weights_that_do_not_fit(tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "r18.pt")
    for depth in (34, 50):
        with pytest.raises(LongTailError, match=f"do not fit a ResNet-{depth}"):
            ResNetLarge(depth, 3, pretrained=tmp_path / "r18.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "r18.pt").read_bytes()[:1000])
    with pytest.raises(LongTailError, match="cannot be read as weights"):
        ResNetLarge(18, 3, pretrained=tmp_path / "cut.pt")
    with pytest.raises(DatasetNotFoundError, match="no weights in"):
        ResNetLarge(18, 3, pretrained=tmp_path / "absent.pt")


def test_weights_of_torchvisions_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DatasetNotFoundError, match=r"resnet18-f37072fd\.pth.*IMAGENET1K_V1"):
        ResNetLarge(18, 3, pretrained="torchvision")
    with pytest.raises(DatasetNotFoundError, match="no weights of a ResNet-10"):
        ResNetLarge(10, 3, pretrained="torchvision")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(torchvision.models.resnet18().state_dict(), folder / "resnet18-f37072fd.pth")
    assert ResNetLarge(18, 3, pretrained="torchvision").features == 512


def test_an_unknown_depth():
    with pytest.raises(LongTailError, match="depth=20; choose one of 10, 18"):
        ResNetLarge(20, 3)
