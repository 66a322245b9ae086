"""Small generative models: diffusion by noise prediction and by denoising, with classes or without."""

from unshaken.api.generate import fit_generator as fit
from unshaken.api.generate import generate_set as dataset
from unshaken.api.generate import sample_generator as sample
from unshaken.api.generate_measure import measure_generated as measure
from unshaken.api.generate_scaling import measure_scaling as scaling
from unshaken.api.generate_texture import make_texture as texture
from unshaken.generate.class_gaussian import ClassGaussianSettings as ClassGaussianSettings
from unshaken.generate.ddpm import DDPM as DDPM
from unshaken.generate.ddpm import DDPMSettings as DDPMSettings
from unshaken.generate.edm import EDM as EDM
from unshaken.generate.edm import EDMSettings as EDMSettings
from unshaken.generate.edm import karras_grid as karras_grid
from unshaken.generate.fitting import Fitting as Fitting
from unshaken.generate.latent.vae import VAESettings as VAESettings
from unshaken.generate.saved import load as load
from unshaken.generate.saved import load_generator as load_generator
from unshaken.generate.saved import save as save
from unshaken.generate.unet import UNet as UNet
from unshaken.generate.unet import UNetSettings as UNetSettings
