"""Creates the parts of a training run from its options."""
from __future__ import annotations

import functools
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Tuple

import mindspore
import numpy as np

from ..data.dataset import TrainDataset
from ..data.demo import write_demo_set
from ..data.pairs import Pair, find_pairs, unused_files
from ..data.sources import PairSource, open_source
from ..device import select_device
from ..distributed.ranks import Ranks, join_ranks
from ..errors import InputError, UsageError
from ..files import found_or_shipped
from ..network.aecrnet import Dehaze
from ..network.checkpoint import load_checkpoint, load_into
from ..network.fast_deconv import FastDeconv
from ..network.weights import REFERENCE, network_weights
from ..spec import VALUE_RANGE
from .amp import loss_scaler, lower_precision
from .cell import TrainOneStepCell
from .loss import ContrastLoss, NetWithCRLossCell
from .optimizer import Adam, learning_rate_factors, steps_frozen
from .state import TrainState
from .validation import Validation, choose_images
from .vgg import load_vgg19, random_vgg19

WORKERS, WORKERS_OF_A_CARD = {"CPU": 1}, 4  # a crop of 240 px takes 1 to 2 ms of one core (docs/training.md)
DEMO_FOLDER = Path("output/demo_data")


def init_device(options: SimpleNamespace) -> Ranks:
    """Select the device and graph mode. In a distributed run, join the other ranks too.

    `src.train.cell.MeanOverRanks` averages the gradients. Rank i trains on the i-th part of the images of each step.

    Raises: InputError if this MindSpore has no such device or the ranks cannot find each other.
    """
    select_device(options.device_target, options.device_id)
    ranks = join_ranks()
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    mindspore.set_seed(options.seed)
    if ranks.size > 1:
        mindspore.set_auto_parallel_context(parallel_mode=mindspore.ParallelMode.DATA_PARALLEL, gradients_mean=True,
                                            device_num=ranks.size, global_rank=ranks.rank)
    return ranks


def train_dataset(options: SimpleNamespace, ranks: Ranks) -> TrainDataset:
    """The training batches of this rank, in the value range of the arch."""
    folder, layout = _located(options.dir_data, options.data_train)
    source = open_source(
        folder, layout, options.cache_mb, tuple(options.airlight_range),
        tuple(options.beta_range), options.nyu_frame, options.depth_first, options.depth_last)
    if ranks.rank == 0 and isinstance(source, PairSource) and (unused := unused_files(source.pairs)):
        print(f"note: not trained on: {unused}", file=sys.stderr)
    return TrainDataset(
        source, options.patch_size, options.batch_size, options.seed, options.repeat, ranks.size, ranks.rank,
        options.scales, not options.no_augment, not options.no_turns, VALUE_RANGE[options.arch],
        options.num_parallel_workers or WORKERS.get(options.device_target, WORKERS_OF_A_CARD))


def validation_pairs(options: SimpleNamespace, rank: int = 0) -> List[Pair]:
    """The validation images. Empty if `--data_test` is empty. Rank 0 says what is left out."""
    if not options.data_test:
        return []
    folder, layout = _located(options.dir_test or options.dir_data, options.data_test)
    pairs, unmatched = find_pairs(folder, layout, flag="--dir_test" if options.dir_test else "--dir_data")
    if unmatched and rank == 0:
        print(f"note: {len(unmatched)} validation images without ground truth are left out, the first is "
              f"{unmatched[0]}", file=sys.stderr)
    return choose_images(pairs, options.test_images)


def validation(options: SimpleNamespace, ranks: Ranks) -> Optional[Validation]:
    """The scores on the validation images. None if there are none."""
    pairs = validation_pairs(options, ranks.rank)
    if not pairs:
        return None
    return Validation(Dehaze(options.arch, options.dcn_sampling, options.dcn_backend), pairs, ranks)


def _located(folder: str, layout: str) -> Tuple[str, str]:
    """Folder and layout. For `Demo`, the hazed photos of scikit-image are written to the folder first."""
    return (_demo_folder(Path.cwd()), "Pairs") if layout == "Demo" else (folder, layout)


@functools.cache
def _demo_folder(here: Path) -> Path:
    return write_demo_set(here / DEMO_FOLDER)


def network(options: SimpleNamespace) -> Dehaze:
    """The network in training mode. A new run starts with the weights of `--ckpt_path`, if it is given.

    Raises: InputError or UsageError if the checkpoint cannot be read or is of another arch or sampling.
    """
    net = Dehaze(options.arch, options.dcn_sampling, options.dcn_backend)
    if options.ckpt_path and not options.resume:
        parameters, description = load_checkpoint(found_or_shipped(options.ckpt_path))
        _require_same_graph(options, description)
        load_into(net, network_weights(parameters), options.ckpt_path)
    if options.freeze_deconv:
        net.deconv.freeze_statistics()
    return net.set_train()


def _require_same_graph(options: SimpleNamespace, description: Dict[str, Any]) -> None:
    graph = description if "arch" in description else REFERENCE
    for name in ("arch", "dcn_sampling"):
        if graph.get(name, "exact") != getattr(options, name):
            raise UsageError(f"--ckpt_path {options.ckpt_path}: was trained with --{name} {graph.get(name, 'exact')}, "
                             f"not {getattr(options, name)}")


def train_cell(options: SimpleNamespace, net: Dehaze, ranks: Ranks) -> TrainOneStepCell:
    """The training step, with its loss and Adam."""
    lower_precision(net, options)
    loss = NetWithCRLossCell(net, contrast_loss(options), options.contra_lambda, options.neg_num,
                             options.fft_weight)
    weights = net.trainable_params()
    optimizer = Adam(weights, tuple(options.betas), options.epsilon, options.weight_decay,
                     learning_rate_factors(weights, options.offset_lr_factor, options.block_lr_factor),
                     steps_frozen(weights, options.block_freeze_steps))
    if ranks.size > 1:
        for _, layer in net.cells_and_names():
            if isinstance(layer, FastDeconv):
                layer.average_over_ranks(ranks.size)
    statistics = [parameter for parameter in net.get_parameters() if not parameter.requires_grad]
    return TrainOneStepCell(loss, optimizer, loss_scaler(options), options.clip_norm, options.accumulate,
                            options.ema_decay, statistics, (ranks.rank, ranks.size))


def contrast_loss(options: SimpleNamespace) -> Optional[ContrastLoss]:
    """CR with the user's VGG19. None for `--contra_lambda 0`."""
    if options.contra_lambda == 0:
        return None
    if options.vgg_random:
        print("warning: --vgg_random: the contrastive loss of random VGG19 weights means nothing, for tests only")
        vgg = random_vgg19(options.seed)
    else:
        vgg = load_vgg19(Path(options.vgg_ckpt_path) / options.vgg_ckpt)
    return ContrastLoss(vgg, options.arch, options.cr_average)


def train_state(
    options: SimpleNamespace, cell: TrainOneStepCell, net: Dehaze, data: TrainDataset, ranks: Ranks,
) -> TrainState:
    """The state of the run on all ranks. With `--resume`, rank 0 reads it from the last checkpoint.

    Raises: InputError if the ranks have other training images.
    """
    _require_same_images(options, data, ranks)
    state = TrainState(cell, net, options, data.items_per_epoch, ranks, f"{_names(data):08x}")
    if options.resume and ranks.rank == 0:
        state.resume()
    if ranks.size > 1:
        state.take_from_first(ranks)
    return state


def _require_same_images(options: SimpleNamespace, data: TrainDataset, ranks: Ranks) -> None:
    """Raises: InputError if a host has other images. Ranks would then wait for ever, or learn some images twice."""
    if np.ptp(ranks.gather([data.items_per_epoch, *divmod(_names(data), 1 << 16)]), axis=0).any():
        raise InputError(f"{options.dir_data}: must hold the same images on all hosts; rank {ranks.rank} finds "
                         f"{len(data.source.names)}, other ones than another rank")


def _names(data: TrainDataset) -> int:
    """A checksum of the names of the images in their order. The folder may move, so it does not count."""
    return zlib.crc32("\n".join(Path(name).name for name in data.source.names).encode(errors="replace"))
