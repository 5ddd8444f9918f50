"""Where prompts come from, and what is said when they cannot."""

import json
import re

import huggingface_hub
import pytest
from support import planted

from probes.errors import InputError
from tracer.prompts import LONGEST_CAPTION, MUSICCAPS_REVISION, choose_prompts, load_prompts, prompts_hash
from tracer.record.store import RunReader, RunStore

MUSICCAPS_HEADER = (
    "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,is_audioset_eval"
)


def musiccaps_csv(path, n=40):
    rows = [f'id{i},0,10,/m/0,"[\'a\']","caption {i}, with a comma",1,{i % 4 == 0},True' for i in range(n)]
    path.write_text("\n".join([MUSICCAPS_HEADER, *rows]) + "\n")
    return path


def test_demo_covers_what_it_promises():
    prompts = load_prompts("demo")
    captions = [prompt.caption for prompt in prompts]
    assert len(captions) >= 64
    assert len(set(captions)) == len({prompt.id for prompt in prompts}) == len(prompts)
    assert [prompt.index for prompt in prompts] == list(range(len(prompts)))
    text = " ".join(captions).lower()
    words = (
        "piano guitar violin cello flute clarinet saxophone trumpet tuba organ harp drum choir synth bass "
        "low middle high register quiet soft loud bright dark mellow slow moderate fast tempo "
        "jazz blues rock metal techno house reggae folk country orchestra ambient hip baroque"
    )
    missing = [word for word in words.split() if not re.search(rf"\b{word}", text)]
    assert not missing
    assert all(6 <= len(caption.split()) <= 40 for caption in captions)


def test_n_takes_the_first_of_demo_whatever_the_seed():
    assert load_prompts("demo", 8, seed=0) == load_prompts("demo", 8, seed=5) == load_prompts("demo")[:8]


def test_musiccaps_file_is_a_seeded_choice_whose_prefix_stays(tmp_path):
    path = str(musiccaps_csv(tmp_path / "musiccaps-public.csv"))
    ten = load_prompts(path, 10, seed=3)
    assert ten == load_prompts(path, 20, seed=3)[:10]
    assert [p.id for p in ten] != [p.id for p in load_prompts(path, 10, seed=4)]
    assert [p.id for p in ten] != [f"id{i}" for i in range(10)]
    assert ten[0].caption == f"caption {ten[0].id[2:]}, with a comma"
    assert {int(p.id[2:]) % 4 for p in load_prompts(path, 10, seed=0, balanced=True)} == {0}
    assert len(load_prompts(path, balanced=True)) == 10


def test_musiccaps_from_the_hub_equals_its_file(tmp_path, monkeypatch):
    path = str(musiccaps_csv(tmp_path / "musiccaps-public.csv"))
    asked = {}

    def cached(repo, file, **rest):
        asked.update(rest, repo=repo, file=file)
        return path

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", cached)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for balanced in (False, True):
        assert load_prompts("musiccaps", 9, seed=2, balanced=balanced) == load_prompts(
            path, 9, seed=2, balanced=balanced
        )
    assert asked["repo"] == "google/MusicCaps"
    assert asked["revision"] == MUSICCAPS_REVISION


def test_offline_musiccaps_names_the_file_route(monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", offline)
    with pytest.raises(InputError, match=r"prompts musiccaps-public\.csv") as error:
        load_prompts("musiccaps", 4)
    assert "\n" not in str(error.value)


def test_real_musiccaps_captions(shared):
    prompts = load_prompts(str(shared / "data" / "musiccaps-public.csv"), 500)
    assert len({prompt.id for prompt in prompts}) == 500
    assert all(prompt.caption and "\n" not in prompt.caption for prompt in prompts)


def test_text_file_has_one_prompt_per_line(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes("\ufeffa  calm piano\r\n\r\nbright  flûte\n".encode())
    prompts = load_prompts(str(path))
    assert [(p.index, p.id, p.caption) for p in prompts] == [
        (0, "mine-1", "a calm piano"),
        (1, "mine-3", "bright flûte"),
    ]


@pytest.mark.parametrize("field", ["caption", "prompt", "text"])
def test_csv_and_jsonl_with_each_field(tmp_path, field):
    table = tmp_path / "a.csv"
    table.write_text(f'id,{field}\nx,"one, two"\n,"three\nfour"\n')
    lines = tmp_path / "a.jsonl"
    lines.write_text(json.dumps({"id": "x", field: "one, two"}) + "\n\n" + json.dumps({field: "three\nfour"}) + "\n")
    for path in (table, lines):
        assert [(p.id, p.caption) for p in load_prompts(str(path))] == [("x", "one, two"), ("a-2", "three four")]


def test_jsonl_of_strings(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('"one"\n"two\u2028lines"\n')
    assert [p.caption for p in load_prompts(str(path))] == ["one", "two lines"]


def test_hash_tells_lists_apart(tmp_path):
    demo = load_prompts("demo", 8)
    assert prompts_hash(demo) == prompts_hash(load_prompts("demo", 8, seed=1))
    assert len({prompts_hash(demo), prompts_hash(demo[:7]), prompts_hash(demo[::-1])}) == 3


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.txt", None, "no prompts at"),
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b"\n  \n", "is empty"),
        ("binary.txt", b"RIFF\0\0\0\0WAVE", "binary"),
        ("latin.txt", "flûte".encode("latin-1"), "UTF-8"),
        ("image.csv", b"\x89PNG\r\n\x1a\n\0", "UTF-8"),
        ("other.csv", b"title,artist\na,b\n", "its columns are title, artist"),
        ("header.csv", b"caption\n", "no rows"),
        ("quotes.csv", b'caption\n"open', "well-formed"),
        ("blank.csv", b"caption\n  \n", "no prompts"),
        ("broken.jsonl", b'{"caption": "a"}\n{oops\n', "line 2, is not JSON"),
        ("keys.jsonl", b'{"title": "a"}\n', "line 1, has no key caption, prompt, text"),
        ("number.jsonl", b'{"caption": 3}\n', "not text but int"),
        ("list.jsonl", b"[1, 2]\n", "has no key"),
        ("song.mp3", b"ID3", r"not a \.txt, \.csv or \.jsonl"),
        ("balanced.csv", (MUSICCAPS_HEADER + "\n").encode(), "no rows"),
    ],
)
def test_wrong_files_are_told_in_one_line(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        load_prompts(str(path))
    assert "\n" not in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"source": "demo", "n": 0}, "at least 1"),
        ({"source": "demo", "n": -3}, "at least 1"),
        ({"source": "demo", "n": 10_000}, r"n=\d+ or less"),
        ({"source": "demo", "balanced": True}, "only in MusicCaps"),
    ],
)
def test_wrong_numbers(arguments, says):
    with pytest.raises(InputError, match=says):
        load_prompts(**arguments)


def test_a_list_gives_as_many_captions_as_are_asked_for():
    assert [prompt.caption for prompt in choose_prompts(["a", "b", "c"], 2)] == ["a", "b"]
    with pytest.raises(InputError, match=r"list of captions holds 2 prompts, fewer than the 5 .*n=2 or less"):
        choose_prompts(["a", "b"], 5)


def test_a_folder_is_no_prompt_file(tmp_path):
    with pytest.raises(InputError, match=r"not a \.txt"):
        load_prompts(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "captions"),
    [
        ("p.jsonl", '{"caption":"one"}\n{"prompt":"two"}\n{"text":"three"}\n', ["one", "two", "three"]),
        (
            "p.txt",
            "quiet piano\u0085 then loud\nsecond\u2028still second\r\nthird\x0bstill third\n",
            ["quiet piano then loud", "second still second", "third still third"],
        ),
        ("p.csv", '\ufeffcaption\n"A slow, sad piano song"\nA fast song\n', ["A slow, sad piano song", "A fast song"]),
    ],
)
def test_captions_are_read_whole(name, text, captions, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert [prompt.caption for prompt in load_prompts(str(tmp_path / name))] == captions


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.csv", "caption\nA slow, sad piano song\nA fast song\n", "more cells than the header"),
        ("p.jsonl", '{"caption":"sad \\ud83d song"}\n', "surrogate"),
        ("p.jsonl", "[" * 5000 + "]" * 5000, "is not JSON"),
        ("p.txt", "x" * 200_000, "has 200,000 characters"),
    ],
)
def test_captions_that_cannot_be_kept_are_refused(name, text, says, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says) as error:
        load_prompts(str(tmp_path / name))
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", ["p.txt", "p.csv", "p.jsonl", None])
@pytest.mark.parametrize(
    ("caption", "says"),
    [("a" * 131_072, "has 131,072 characters, more than 100,000: shorten it"), ("sad \ud83d", "half of a surrogate")],
)
def test_a_caption_is_refused_wherever_it_comes_from(name, caption, says, tmp_path):
    content = {"p.txt": caption, "p.csv": f"caption\n{caption}\n", "p.jsonl": json.dumps({"caption": caption})}
    if name is not None:
        (tmp_path / name).write_bytes(content[name].encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=says if "\ud83d" not in caption or name in (None, "p.jsonl") else "UTF-8"):
        choose_prompts([caption] if name is None else str(tmp_path / name))


def test_the_longest_caption_is_carried_whole(tmp_path):
    caption = "b" * (LONGEST_CAPTION - 3) + " é🎹"
    assert len(caption) == LONGEST_CAPTION
    (tmp_path / "p.csv").write_text(f"caption\n{caption}\n", encoding="utf-8")
    prompts = choose_prompts(str(tmp_path / "p.csv"))
    assert prompts[0].caption == caption
    RunStore.open(tmp_path / "run", planted.OPTIONS, prompts)
    assert RunReader(tmp_path / "run").prompts() == prompts


def test_rows_without_a_caption_are_counted(tmp_path):
    (tmp_path / "p.csv").write_text("id,caption\na,one\nb,\nc,\n")
    with pytest.warns(UserWarning, match="2 rows .* left out"):
        assert len(load_prompts(str(tmp_path / "p.csv"))) == 1


@pytest.mark.parametrize("kind", ["p.csv", "p.jsonl", "musiccaps.csv"])
def test_rows_left_out_are_named_and_move_the_others(kind, tmp_path):
    path = tmp_path / kind
    if kind == "p.csv":
        path.write_text("id,caption\na,one\nb, \nc,three\n")
    elif kind == "p.jsonl":
        path.write_text('{"id": "a", "caption": "one"}\n{"id": "b", "caption": ""}\n\n{"id": "c", "text": "three"}\n')
    else:
        path.write_text(MUSICCAPS_HEADER + "".join(f"\n{id_},0,10,/m/0,x,{text},1,True,True" for id_, text in ROWS))
    with pytest.warns(UserWarning, match=r"^1 row of [^\n]* is left out \(b\): the prompts after it move up[^\n]*$"):
        prompts = load_prompts(str(path))
    assert [(prompt.index, prompt.id) for prompt in prompts] == [(0, "a"), (1, "c")]


ROWS = [("a", "one"), ("b", ""), ("c", "three")]
