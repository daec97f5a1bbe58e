"""With the libraries themselves, where they are installed: Keras, timm, torch."""

import numpy as np
import pytest
from conftest import uniform

import sepconv

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_live_model_of_keras():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    x = image = keras.Input((40, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = layers.BatchNormalization(moving_mean_initializer="random_normal")(x)
    x = layers.Activation("relu")(x)
    y = layers.SeparableConv2D(16, 3, padding="same", name="separable")(x)
    x = layers.Add()([y, layers.Conv2D(16, 1)(x)])
    x = layers.GlobalAveragePooling2D(name="features")(x)
    model = keras.Model(image, layers.Dense(5, activation="softmax", name="classes")(x))
    ours = sepconv.from_keras(model, check=True)
    x = np.random.default_rng(0).uniform(0, 255, (3, 40, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(ours(x), model.predict(x, verbose=0), atol=1e-6)
    inner = keras.Model(image, [model.get_layer("separable").output])
    separable, features = ours.run(x, nodes=["separable", "features"])
    np.testing.assert_allclose(separable, inner.predict(x, verbose=0), atol=1e-5)
    assert features.shape == (3, 16)
    with pytest.raises(ValueError, match="differs by"):
        broken = sepconv.from_keras(model)
        sepconv._convert._compare(broken, "Keras", lambda x: model.predict(x, verbose=0) + 1e-3)


@pytest.mark.parametrize("name", ["mobilenetv2_035", "legacy_xception"])
def test_a_live_model_of_timm(name):
    timm = pytest.importorskip("timm")
    model = timm.create_model(name, pretrained=False)
    assert model.training
    ours = sepconv.from_timm(model, check=True)
    assert model.training
    x = uniform(1, *ours.input_shape[1:3] if ours.input_shape[1] else (64, 64), 3)
    assert ours(x, logits=True).shape == (1, 1000)
    assert ours.link == "softmax" or np.isclose(ours(x).sum(), 1)
    features = timm.create_model("mobilenetv2_035", pretrained=False, num_classes=0)
    sepconv.from_timm(features, check=True)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_model_in_the_workers_of_a_data_loader(digits, method):
    data = pytest.importorskip("torch.utils.data")
    x = uniform(6, 32, 32, 3)
    expected = digits(x)
    loader = data.DataLoader(
        Rows(digits, x), batch_size=2, num_workers=2, multiprocessing_context=method
    )
    got = np.concatenate([batch.numpy() for batch in loader])
    np.testing.assert_array_equal(got, expected)


class Rows:
    """A dataset whose items a model computes in the worker."""

    def __init__(self, model, x):
        self.model, self.x = model, x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.model(self.x[i : i + 1])[0]
