"""Names, texts and folders that are unusual."""

import json
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given, settings
from store_examples import ROOT, pending, run, trial
from test_store_records import trials

from bilevel import codec
from bilevel.errors import StoreError
from bilevel.store.decode import decoder
from bilevel.store.folder import RunFolder
from bilevel.trial import Trial


def test_a_folder_may_have_any_name(tmp_path):
    path = tmp_path / "50%#a?b c"
    folder = RunFolder.create(path, {})
    folder.store.open_branch(ROOT)
    watcher = RunFolder.read(path)
    assert watcher.store.branches() == [ROOT]
    watcher.close()
    folder.close()


def test_half_characters_that_programs_print_come_back(folder):
    odd = replace(trial(0), runs=(replace(run(0), log="broken \ud800 and \udfff\n"),), reason="\ud83d")
    folder.store.add_trial("root", odd)
    assert folder.store.trials("root") == [odd]


def test_an_equal_trial_with_its_metrics_in_another_order_is_the_same(folder):
    for metrics in ({"loss": 1.0, "memory": 2.0}, {"memory": 2.0, "loss": 1.0}):
        folder.store.add_trial("root", replace(trial(0), runs=(replace(run(0), metrics=metrics),)))
    assert len(folder.store.trials("root")) == 1


def test_nothing_is_written_to_a_branch_that_was_not_opened(folder):
    store = folder.store
    for write in (lambda: store.add_trial("nope", trial(0)), lambda: store.add_pending("nope", pending(0))):
        with pytest.raises(StoreError, match="no branch 'nope'"):
            write()


def test_a_record_that_cannot_be_read_is_a_damaged_folder(folder, path):
    folder.store.add_trial("root", trial(0))
    database = sqlite3.connect(path / "run.sqlite3", isolation_level=None)
    for record in ("{", "{}", "[]"):
        database.execute("UPDATE trials SET record = ?", (record,))
        with pytest.raises(StoreError, match="damaged"):
            folder.store.trials("root")
    database.close()


def test_a_folder_that_could_not_be_made_is_not_kept_locked(path):
    with pytest.raises(TypeError):
        RunFolder.create(path, {"recipe": object()})
    RunFolder.create(path, {}).close()


@given(trials)
@settings(max_examples=100, deadline=None)
def test_the_fast_decoder_gives_what_the_codec_gives(written):
    data = json.loads(codec.dump(written))
    assert decoder(Trial)(data) == codec.build(Trial, data) == written
