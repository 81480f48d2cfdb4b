"""Secrets: the order of their places, keys that come and go, texts that give nothing away."""

import pytest
from lib.secret_store import (
    KEY_VARIABLE,
    KeyInvalid,
    KeyMissing,
    SecretMissing,
    SecretStore,
    SecretUnreadable,
    generate_key,
)

VALUE = "dapi-Peña-ñ-0123456789"


def store(key=None, config=None, **environ):
    if key is not None:
        environ[KEY_VARIABLE] = key
    return SecretStore(config, environ)


def test_stored_text_is_encrypted_and_comes_back():
    keyed = store(generate_key())
    text = keyed.encrypt(VALUE)
    assert VALUE not in text and text.isascii() and keyed.encrypt(VALUE) != text
    secret = keyed.resolve("token", text)
    assert (secret.value, secret.origin) == (VALUE, "stored")
    assert VALUE not in repr(secret)


def test_order_environment_then_config_then_stored():
    key = generate_key()
    text = store(key).encrypt("stored")
    config = {"token": "config", "encryption_key": key}
    both = store(config=config, ODOO_DATABRICKS_TOKEN="environment")
    assert both.resolve("token", text).origin == "environment"
    assert both.resolve("token", text).value == "environment"
    assert store(config=config).resolve("token", text).value == "config"
    assert store(config={"encryption_key": key}).resolve("token", text).value == "stored"
    assert store(config=config, ODOO_DATABRICKS_TOKEN="  ").resolve("token").value == "config"


def test_a_secret_in_the_environment_needs_no_key():
    assert store(ODOO_DATABRICKS_CLIENT_SECRET="x").resolve("client_secret").value == "x"


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("ODOO_DATABRICKS_TOKEN", "from-process")
    assert SecretStore().resolve("token").value == "from-process"


def test_first_key_encrypts_and_all_decrypt():
    old, new = generate_key(), generate_key()
    text = store(old).encrypt(VALUE)
    rotating = store(f"{new}, {old}")
    assert rotating.decrypt(text) == VALUE
    rotated = rotating.rotate(text)
    assert store(new).decrypt(rotated) == VALUE
    with pytest.raises(SecretUnreadable):
        store(old).decrypt(rotated)


def test_no_key():
    empty = store()
    assert not empty.can_encrypt
    for call in (lambda: empty.encrypt(VALUE), lambda: empty.resolve("token", "gAAAA")):
        with pytest.raises(KeyMissing) as caught:
            call()
        assert KEY_VARIABLE in caught.value.hint and "odoo.conf" in caught.value.hint


@pytest.mark.parametrize("key", ["short", "!" * 44, generate_key() + ",broken"])
def test_invalid_key_is_told_without_showing_it(key):
    with pytest.raises(KeyInvalid) as caught:
        store(key).encrypt(VALUE)
    assert key not in str(caught.value) + caught.value.hint


def test_wrong_key():
    text = store(generate_key()).encrypt(VALUE)
    with pytest.raises(SecretUnreadable) as caught:
        store(generate_key()).resolve("token", text)
    assert caught.value.kind == "secret_unreadable" and VALUE not in str(caught.value)


@pytest.mark.parametrize("text", ["plain", "gAAAAABk", "ñ", " "])
def test_a_text_that_was_never_encrypted(text):
    with pytest.raises(SecretUnreadable):
        store(generate_key()).decrypt(text)


def test_missing_and_empty():
    with pytest.raises(SecretMissing, match="'token'"):
        store(generate_key()).resolve("token", None)
    with pytest.raises(ValueError):
        store(generate_key()).encrypt("")
