"""The optimiser is torch's own to the bit, without the second that its import of the compiler takes."""

from __future__ import annotations

import subprocess
import sys

import torch

from enr.pipelines.training.adam import Adam


def test_an_optimiser_works_without_the_compiler():
    code = (
        "import sys, torch; from enr.pipelines.training.muon import MuonAndAdam; from enr.model.layers import ResNet; "
        "net = ResNet(2, 3, (32, 32), (1, 2)); optimiser = MuonAndAdam(net, 1e-3, 1e-2); "
        "net(torch.ones(1, 3, 4, 4)).sum().backward(); optimiser.step(); optimiser.zero_grad(); "
        "optimiser.load_state_dict(optimiser.state_dict()); print('torch._dynamo' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"


def test_three_steps_are_torchs_own():
    ends = []
    for kind in (Adam, torch.optim.Adam):
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        optimiser = kind(layer.parameters(), lr=1e-2, fused=True)
        for _ in range(3):
            optimiser.zero_grad(set_to_none=True)
            layer(torch.ones(4, 3)).square().sum().backward()
            optimiser.step()
        ends.append(layer.weight.detach())
    assert torch.equal(*ends)
