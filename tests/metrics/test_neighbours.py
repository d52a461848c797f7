"""Nearest neighbours against direct search, scikit-learn and faiss, and where the fast form cancels."""

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from workflow_scripts.core.errors import InputError
from workflow_scripts.metrics import neighbours, products
from workflow_scripts.metrics.neighbours import nearest_neighbours


def direct(queries, references, k, exclude_self=False):
    """The definition: all differences in double precision, then order by (distance, index)."""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (queries, references))
    squared = np.stack([((row - b) ** 2).sum(axis=1) for row in a])
    if exclude_self:
        np.fill_diagonal(squared, np.inf)
    indices = np.argsort(squared, axis=1, kind="stable")[:, :k]
    unit = 255 if queries.dtype == np.uint8 else 1
    return np.sqrt(np.take_along_axis(squared, indices, axis=1) / a.shape[1]) / unit, indices


def assert_exact(queries, references, k, exclude_self=False):
    nearest = nearest_neighbours(queries, references, k, exclude_self=exclude_self)
    distances, indices = direct(queries, references, k, exclude_self)
    np.testing.assert_array_equal(nearest.indices, indices)
    np.testing.assert_allclose(nearest.distances, distances, rtol=1e-12, atol=0)


@pytest.fixture(params=[True, False], ids=["float32 first", "bfloat16 or int8 first"])
def _first_format(request, monkeypatch):
    """Either way, whatever this processor has instructions for."""
    monkeypatch.setattr(products, "is_emulated", lambda kind, device: request.param)
    monkeypatch.setattr(products, "SHORTEST_BFLOAT16_ROW", 1)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8), rng.integers(0, 256, (70, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("k", [1, 5, 300])
def test_images_agree_with_the_definition(images, k):
    references, queries = images
    assert_exact(queries, references, k)


@pytest.mark.usefixtures("_first_format")
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_agrees_with_scikit_learn_and_faiss(images, kind):
    references, queries = (x.reshape(len(x), -1).astype(kind) for x in images)
    unit = 255 if kind == "uint8" else 1
    nearest = nearest_neighbours(queries, references, 4)
    distances, indices = NearestNeighbors(algorithm="brute").fit(references.astype(float)).kneighbors(queries, 4)
    np.testing.assert_array_equal(nearest.indices, indices)
    np.testing.assert_allclose(nearest.distances * unit, distances / np.sqrt(192), rtol=1e-9)
    index = faiss.IndexFlatL2(192)
    index.add(references.astype(np.float32))
    squared, indices = index.search(queries.astype(np.float32), 4)
    np.testing.assert_array_equal(nearest.indices, indices)
    np.testing.assert_allclose(nearest.distances * unit, np.sqrt(squared / 192), rtol=1e-5)


def test_planted_copies_are_at_exactly_zero(images):
    references, queries = images
    queries = queries.copy()
    queries[[3, 50]] = references[[200, 7]]
    nearest = nearest_neighbours(queries, references, 2)
    assert nearest.indices[[3, 50], 0].tolist() == [200, 7]
    assert np.flatnonzero(nearest.distances[:, 0] == 0).tolist() == [3, 50]


def test_ties_go_to_the_lowest_index_even_when_there_are_hundreds(images):
    references, queries = images
    crowd = np.concatenate([references[:9], np.repeat(references[5:6], 500, axis=0), references[:9]])
    nearest = nearest_neighbours(references[5:6], crowd, 20)
    assert nearest.indices[0].tolist() == [5, *range(9, 28)]
    assert_exact(queries[:5], crowd, 30)


def test_constant_images_are_neighbours_in_order_of_index():
    blank = np.full((40, 4, 4, 1), 7, dtype=np.uint8)
    nearest = nearest_neighbours(blank, blank, 3, exclude_self=True)
    assert (nearest.distances == 0).all()
    assert nearest.indices[:4].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


@pytest.mark.usefixtures("_first_format")
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_offsets_that_cancel_in_the_product_do_not_harm(kind):
    rng = np.random.default_rng(2)
    # Two far clusters of near copies: about their common mean, the distances inside are lost in float32.
    centres = np.repeat([[0.0], [1e4]], 150, axis=0)
    references = (centres + 1e-2 * rng.standard_normal((300, 30))).astype(kind)
    queries = (references[::7] + 1e-3 * rng.standard_normal((43, 30))).astype(kind)
    assert_exact(queries, references, 6)
    assert_exact(references + np.float32(2**20), references + np.float32(2**20), 3, exclude_self=True)


def test_a_product_in_reduced_precision_is_noticed(images, monkeypatch):
    """TF32 switched on elsewhere in the process must cost time, not correctness."""
    references, queries = (x.astype(np.float32) for x in images)

    def rough(left, right):
        if left.dtype == torch.float32:
            return (left.bfloat16() @ right.bfloat16().T).float()
        return left @ right.T

    monkeypatch.setattr(products, "product", rough)
    assert_exact(queries, references, 5)


@pytest.mark.parametrize("length", [1, 7, 512])
def test_bfloat16_is_off_by_no_more_than_its_bound(length, monkeypatch):
    """All squared distances, those that its own check never sees among them; rows of very unlike norms, and copies."""
    rng = np.random.default_rng(length)
    rows = (rng.standard_normal((200, length)) * 10 ** rng.uniform(-3, 3, (200, 1))).astype(np.float32)
    rows[::10] = rows[3]
    form = products.Form(torch.bfloat16, np.zeros(length, dtype=np.float32))
    blocks: list[products.Block] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    products.each_block(blocks.append, rows, rows, form, torch.device("cpu"))
    [block] = blocks
    inner = rows.astype(np.float64) @ rows.T.astype(np.float64)
    norms, half = block.query_norms[:, None], block.half.double()
    exact = norms + norms.T - 2 * torch.from_numpy(inner)
    largest = float(norms.max()) ** 0.5
    bound = form.error(norms.sqrt(), largest, length)
    off = (norms + 2 * half - exact).abs()
    assert (off <= bound).all()
    assert (off / bound).max() > 1e-3


def test_what_bfloat16_leaves_in_doubt_is_searched_in_float32(monkeypatch):
    """Points that are all about as far from each other: more of them in doubt than there are candidates."""
    monkeypatch.setattr(products, "is_emulated", lambda kind, device: False)
    used, search = [], neighbours._search

    def noted(*arguments):
        used.append(arguments[5].dtype)
        return search(*arguments)

    monkeypatch.setattr(neighbours, "_search", noted)
    random = np.random.default_rng(0)
    points = np.linalg.qr(random.standard_normal((600, 300)))[0].T + 1e-4 * random.standard_normal((300, 600))
    points = points.astype(np.float32)
    assert_exact(points[:20], points, 3)
    assert used == [torch.bfloat16, torch.float32]
    assert_exact(points[:20], points, products.MOST_IN_BFLOAT16 + 1)
    assert used[2] == torch.float32


def test_int8_products_that_saturate_are_not_used(images, monkeypatch):
    references, queries = images

    def saturating(left, right):
        product = left.double() @ right.double().T
        return product.clamp(-30000, 30000).int() if left.dtype == torch.int8 else product.to(left.dtype)

    monkeypatch.setattr(products, "is_emulated", lambda kind, device: False)
    monkeypatch.setattr(products, "product", saturating)
    products._int8_products_are_exact.cache_clear()
    try:
        assert_exact(queries, references, 5)
        assert torch.int8 not in products.formats(queries.reshape(len(queries), -1), 5, torch.device("cpu"))
    finally:
        products._int8_products_are_exact.cache_clear()


@pytest.mark.parametrize(
    ("free", "shape"), [(2**38, (8192, 65536, 2**28)), (2**33, (4096, 65536, 2**28)), (2**28, (1024, 8192, 2**24))]
)
def test_a_block_on_a_gpu_takes_half_of_what_is_free(monkeypatch, free, shape):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**38))
    assert products._block_shape(torch.device("cuda")) == shape


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 60), st.integers(2, 60), st.integers(1, 40)),
    levels=st.sampled_from([2, 4, 256]),
    kind=st.sampled_from(["uint8", "float32", "float64"]),
    same=st.booleans(),
    data=st.data(),
)
def test_any_shape_any_ties(seed, sizes, levels, kind, same, data):
    m, n, d = sizes
    rng = np.random.default_rng(seed)
    step = 255 // (levels - 1)
    references = (step * rng.integers(0, levels, (n, d))).astype(kind)
    queries = references if same else (step * rng.integers(0, levels, (m, d))).astype(kind)
    assert_exact(queries, references, data.draw(st.integers(1, n - same)), exclude_self=same)


def test_blocks_and_batches_do_not_show(images, monkeypatch):
    """Small batches, so that queries, references, candidates and pairs are all taken in several parts."""
    references, queries = images
    for module in (neighbours, products):
        monkeypatch.setattr(module, "ROW_BATCH_BYTES", 4 * 192 * 17)
        monkeypatch.setattr(module, "CACHED_BYTES", 8 * 192 * 5)
    for kind in ("uint8", "float32"):
        assert_exact(queries.astype(kind), references.astype(kind), 7)
        assert_exact(references.astype(kind), references.astype(kind), 7, exclude_self=True)


def test_memory_mapped_images_are_read(tmp_path, images):
    references, queries = images
    np.save(tmp_path / "references.npy", references)
    mapped = np.load(tmp_path / "references.npy", mmap_mode="r")
    np.testing.assert_array_equal(nearest_neighbours(queries, mapped, 3).indices, direct(queries, references, 3)[1])


def test_no_queries_give_no_neighbours(images):
    references, queries = images
    assert nearest_neighbours(queries[:0], references, 3).indices.shape == (0, 3)


@pytest.mark.parametrize(
    ("queries", "references", "k", "message"),
    [
        (np.zeros((2, 3)), np.zeros((4, 3)), 5, "5 wanted of 4"),
        (np.zeros((2, 3)), np.zeros((4, 3)), 0, "0 wanted of 4"),
        (np.zeros((2, 3)), np.zeros((4, 5)), 1, "same size and type"),
        (np.zeros((2, 3), dtype=np.uint8), np.zeros((4, 3)), 1, "same size and type"),
        (np.zeros((2, 3), dtype=np.int64), np.zeros((4, 3), dtype=np.int64), 1, "not int64"),
        (np.full((2, 3), np.nan), np.zeros((4, 3)), 1, "not finite"),
        (np.zeros((2, 3)), np.full((4, 3), np.inf), 1, "not finite"),
    ],
)
def test_bad_input_is_named(queries, references, k, message):
    with pytest.raises(InputError, match=message):
        nearest_neighbours(queries, references, k)


def test_a_row_is_not_available_to_itself():
    with pytest.raises(InputError, match="4 wanted of 3"):
        nearest_neighbours(np.zeros((4, 3)), np.zeros((4, 3)), 4, exclude_self=True)
    with pytest.raises(InputError, match="queries are the references"):
        nearest_neighbours(np.zeros((3, 3)), np.zeros((4, 3)), 1, exclude_self=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same_and_has_its_own_back(images, threads):
    references, queries = images
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for kind in (np.uint8, np.float64):
            assert_exact(queries.astype(kind), references.astype(kind), 5)
        with torch.inference_mode():
            assert_exact(queries, references, 5)

        def fail(block):
            raise ArithmeticError(f"rows {block.rows}")

        rows = references.reshape(len(references), -1)
        form = products.Form.of(torch.float32, rows)
        with pytest.raises(ArithmeticError, match="rows"):
            products.each_block(fail, rows, rows, form, torch.device("cpu"))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
