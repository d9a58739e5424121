"""Triton kernels of TAM's filter: each frame is read and written once, and its gradients in one pass more.

All are for `x [N·T, C, H, W]` in one of the two dense memory formats, with the strides `of_frame`, `of_channel` and
`of_pixel`. The logits of the branches have any strides: those of `kernel [N, K, C]` are `k_clip`, `k_tap` and
`k_channel`, those of `importance [N, C, T]` are `i_clip`, `i_channel` and `i_frame`. A program computes `tile_c`
channels and `tile_p` pixels of one clip. Sums are in float32, and no two programs write to the same place, so that the
order in which they run does not matter.
"""

import triton
import triton.language as tl


@triton.jit
def _softmax_terms(kernel, k_tap, keep, taps: tl.constexpr):
    """The largest of K logits, and the sum of their exponentials divided by its own, for a tile of channels."""
    largest = tl.load(kernel, mask=keep, other=0.0)
    for k in tl.static_range(1, taps):
        largest = tl.maximum(largest, tl.load(kernel + k * k_tap, mask=keep, other=0.0))
    total = tl.zeros_like(largest)
    for k in tl.static_range(taps):
        total += tl.exp(tl.load(kernel + k * k_tap, mask=keep, other=0.0) - largest)
    return largest, total


@triton.jit
def _softmax(kernel, largest, total, keep):
    """The softmax of the logits at `kernel`, with the terms of all K of them."""
    return tl.exp(tl.load(kernel, mask=keep, other=0.0) - largest) / total


@triton.jit
def _sigmoid(importance, keep):
    """The sigmoid of the logits at `importance`."""
    return tl.sigmoid(tl.load(importance, mask=keep, other=0.0))


@triton.jit
def _tile_of_program(channels, pixels, of_channel, of_pixel, of_clip, tile_c: tl.constexpr, tile_p: tl.constexpr):
    """The clip, the channels and which exist; where the tile is in the clip's first frame, and what of it exists."""
    n = tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * tile_c + tl.arange(0, tile_c)
    p = tl.program_id(0) * tile_p + tl.arange(0, tile_p)
    keep = c < channels
    tile = n * of_clip + c[:, None] * of_channel + p[None, :] * of_pixel
    return n, c, keep, tile, keep[:, None] & (p < pixels)[None, :]


@triton.jit
def _features(tile, keep_tile, inside):
    """A tile of a frame in float32; zeros unless `inside`, which says whether the frame is in the clip."""
    return tl.load(tile, mask=tl.where(inside, keep_tile, False), other=0.0).to(tl.float32)


@triton.jit
def filter_forward(
    x, kernel, importance, out, channels, pixels, of_frame, of_channel, of_pixel,
    k_clip, k_tap, k_channel, i_clip, i_channel, i_frame,
    frames: tl.constexpr, taps: tl.constexpr, has_kernel: tl.constexpr, has_importance: tl.constexpr,
    tile_c: tl.constexpr, tile_p: tl.constexpr,
):  # fmt: skip
    """`out[t] = Σ_k softmax(kernel)[k] · sigmoid(importance)[s] · x[s]` with `s = t + k - K // 2` within the clip."""
    n, c, keep, tile, keep_tile = _tile_of_program(
        channels, pixels, of_channel, of_pixel, frames * of_frame, tile_c, tile_p
    )
    kernel += n * k_clip + c * k_channel
    importance += n * i_clip + c * i_channel
    if has_kernel:
        largest, total = _softmax_terms(kernel, k_tap, keep, taps)
    for t in range(frames):
        mixed = tl.zeros([tile_c, tile_p], tl.float32)
        for k in tl.static_range(taps):
            s = t + k - taps // 2
            inside = (s >= 0) & (s < frames)
            frame = _features(x + tile + s * of_frame, keep_tile, inside)
            if has_kernel:
                frame *= _softmax(kernel + k * k_tap, largest, total, keep)[:, None]
            if has_importance:
                frame *= _sigmoid(importance + s * i_frame, tl.where(inside, keep, False))[:, None]
            mixed += frame
        tl.store(out + tile + t * of_frame, mixed.to(out.dtype.element_ty), mask=keep_tile)


@triton.jit
def filter_backward(
    x, grad, kernel, importance, grad_x, dots, clips, channels, pixels, of_frame, of_channel, of_pixel,
    k_clip, k_tap, k_channel, i_clip, i_channel, i_frame,
    frames: tl.constexpr, taps: tl.constexpr, has_kernel: tl.constexpr, has_importance: tl.constexpr,
    tile_c: tl.constexpr, tile_p: tl.constexpr,
):  # fmt: skip
    """The gradient of x, and for each tile the dot product of every frame with the gradients to which its taps lead.

    `dots [tiles of pixels, N, T, K, C]`: for frame s and tap k, the gradient at `t = s - k + K // 2`.
    """
    n, c, keep, tile, keep_tile = _tile_of_program(
        channels, pixels, of_channel, of_pixel, frames * of_frame, tile_c, tile_p
    )
    kernel += n * k_clip + c * k_channel
    importance += n * i_clip + c * i_channel
    dots += (tl.program_id(0) * clips + n) * frames * taps * channels + c
    if has_kernel:
        largest, total = _softmax_terms(kernel, k_tap, keep, taps)
    for s in range(frames):
        frame = _features(x + tile + s * of_frame, keep_tile, True)
        mixed = tl.zeros([tile_c, tile_p], tl.float32)
        for k in tl.static_range(taps):
            t = s - k + taps // 2
            inside = (t >= 0) & (t < frames)
            change = _features(grad + tile + t * of_frame, keep_tile, inside)
            tl.store(dots + (s * taps + k) * channels, tl.sum(frame * change, axis=1), mask=keep)
            if has_kernel:
                change *= _softmax(kernel + k * k_tap, largest, total, keep)[:, None]
            mixed += change
        if has_importance:
            mixed *= _sigmoid(importance + s * i_frame, keep)[:, None]
        tl.store(grad_x + tile + s * of_frame, mixed.to(grad_x.dtype.element_ty), mask=keep_tile)


@triton.jit
def _dot(dots, clips, channels, tiles, s, k, keep, frames: tl.constexpr, taps: tl.constexpr):
    """The dot products of frame s and tap k of a clip, summed over its tiles of pixels."""
    total = tl.zeros_like(tl.load(dots, mask=keep, other=0.0))
    for i in range(tiles):
        total += tl.load(dots + ((i * clips * frames + s) * taps + k) * channels, mask=keep, other=0.0)
    return total


@triton.jit
def logits_backward(
    dots, kernel, importance, grad_kernel, grad_importance, clips, channels, tiles,
    k_clip, k_tap, k_channel, i_clip, i_channel, i_frame,
    frames: tl.constexpr, taps: tl.constexpr, has_kernel: tl.constexpr, has_importance: tl.constexpr,
    tile_c: tl.constexpr,
):  # fmt: skip
    """The gradients of the logits, `[N, K, C]` and `[N, C, T]` without gaps, from the `dots` of `filter_backward`."""
    n = tl.program_id(1).to(tl.int64)
    c = tl.program_id(0) * tile_c + tl.arange(0, tile_c)
    keep = c < channels
    kernel += n * k_clip + c * k_channel
    importance += n * i_clip + c * i_channel
    dots += n * frames * taps * channels + c
    if has_kernel:
        largest, total = _softmax_terms(kernel, k_tap, keep, taps)
    mean = tl.zeros([tile_c], tl.float32)  # the mean of the gradients of the K weights, by these weights
    for s in range(frames):
        change = tl.zeros([tile_c], tl.float32)
        for k in tl.static_range(taps):
            dot = _dot(dots, clips, channels, tiles, s, k, keep, frames, taps)
            if has_kernel:
                dot *= _softmax(kernel + k * k_tap, largest, total, keep)
            change += dot
        if has_importance:
            gate = _sigmoid(importance + s * i_frame, keep)
            tl.store(grad_importance + (n * channels + c) * frames + s, change * gate * (1 - gate), mask=keep)
            change *= gate
        mean += change
    if has_kernel:
        for k in tl.static_range(taps):
            change = tl.zeros([tile_c], tl.float32)
            for s in range(frames):
                dot = _dot(dots, clips, channels, tiles, s, k, keep, frames, taps)
                if has_importance:
                    dot *= _sigmoid(importance + s * i_frame, keep)
                change += dot
            weight = _softmax(kernel + k * k_tap, largest, total, keep)
            tl.store(grad_kernel + (n * taps + k) * channels + c, weight * (change - mean), mask=keep)
