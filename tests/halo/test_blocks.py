import pytest
import torch
from torch import nn

from halo.blocks import enter, leave, run_block
from halo.errors import ModelError
from halo.model import decoder_blocks


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_blocks_run_one_by_one_give_the_model(cases, kind):
    model, ids = cases[kind].loaded.model, torch.tensor(cases[kind].tokens.ids[:6])
    blocks, batches = decoder_blocks(model)[1], torch.split(ids, 4)
    before = list(blocks)
    with torch.no_grad():
        entered = enter(model, blocks, batches)
        hidden = entered.hidden
        for index, block in enumerate(blocks):
            hidden = [run_block(block, each, given[index])
                      for each, given in zip(hidden, entered.arguments, strict=True)]
        for part, last in zip(batches, hidden, strict=True):
            assert torch.equal(leave(model, blocks, part, last, in_tuples=entered.in_tuples),
                               model(input_ids=part).logits)
    assert all(a is b for a, b in zip(blocks, before, strict=True))


class Layered(nn.Module):
    """Calls its layers in any order, as often as it is told to."""

    def __init__(self, calls):
        super().__init__()
        self.layers, self.calls = nn.ModuleList([nn.Identity(), nn.Identity()]), calls

    def forward(self, input_ids, use_cache):
        hidden = input_ids.float()
        for index in self.calls:
            hidden = self.layers[index](hidden)
        return hidden


@pytest.mark.parametrize("calls", [(), (1,), (1, 0), (0, 1, 1)])
def test_a_model_that_does_not_call_each_block_once_and_in_order_is_refused(calls):
    model = Layered(calls)
    with pytest.raises(ModelError, match="Layered: its decoder layers are not called one by one"):
        enter(model, model.layers, [torch.zeros(1, 2, dtype=torch.long)])
    assert [type(layer) for layer in model.layers] == [nn.Identity, nn.Identity]


def test_each_block_is_run_with_what_the_model_gives_it():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Identity(), nn.Identity()])
            self.layers[1].attention_type = "sliding"

        def forward(self, input_ids, use_cache):
            hidden = input_ids.float()
            for layer in self.layers:
                hidden = layer(hidden_states=hidden, mask=getattr(layer, "attention_type", "full"))
            return hidden

    class Echo(nn.Identity):
        def forward(self, hidden_states, mask):
            return (hidden_states, mask)

    model = Masked()
    echo = Echo()
    model.layers[0] = echo
    entered = enter(model, model.layers, [torch.zeros(1, 2, dtype=torch.long)])
    assert entered.in_tuples
    assert [kwargs["mask"] for _, kwargs in entered.arguments[0]] == ["full", "sliding"]
